"""A plan, or what lint found, as the Markdown of a comment on a pull request.

Names, messages and SQL come from whoever wrote the branch. Here they neither ping people, link, show pictures or HTML,
nor end the fence they stand in; and the whole is never longer than GitHub takes.
"""

import re
import unicodedata
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.function_parts import work_text
from commands.page import plain_line
from commands.page_words import plural
from commands.plan_page import LEVELS
from commands.plan_page import hazards_text
from commands.plan_page import ranked_hazards
from commands.rehearsal_parts import Room
from commands.rehearsal_parts import done_lines
from ops.hazards import Hazard
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import from_json
from ops.supabase.function_changes import ACTS

DONE = Room(each=12, slowest=5, unseen=None)
"""Of what the statements did; the report as JSON has all of it."""

MOST_LETTERS = 65_536
"""So long may a comment on GitHub be."""

_KEPT_FREE = 1_000  # for what is said of things left out, and for the end
_FILES_SHARE, _HAZARDS_SHARE, _LIST_SHARE = 9_000, 24_000, 3_000
_CELL_LETTERS = 300
_HASH_LETTERS = 12

_MARKUP = re.compile(r"([\\`*_\[\]#|~$])")
_LINKING = re.compile(r"@(?=\S)|[#!%&~^$](?=\w)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
_UNSEEN = "\u200b"
"""Behind letters that would make a mention, a reference or a link of what follows; it takes no room."""


def words(text: str, letters: int = _CELL_LETTERS) -> str:
    """Foreign text within a line of ours: it reads the same and means nothing but itself."""
    parted = _LINKING.sub(lambda found: found[0] + _UNSEEN, _one_line(text, letters))
    return _MARKUP.sub(r"\\\1", parted.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def code(text: str) -> str:
    """Foreign text letter by letter: nothing in it is a mention, a link or markup, in a table's cell either."""
    plain = _one_line(text, _CELL_LETTERS).replace("|", "│")  # a table's cells are parted first, inside code as well
    ticks = "`" * (_longest_run(plain) + 1)
    pad = " " if plain[:1] in ("`", "") or plain[-1:] in ("`", "") else ""
    return f"{ticks}{pad}{plain}{pad}{ticks}"


def fenced(text: str, language: str = "") -> str:
    """Foreign lines exactly, but for letters that turn the direction of reading; nothing in them ends the fence."""
    plain = "\n".join(_visible(line.expandtabs(8)) for line in text.splitlines())
    plain = re.sub("`{31,}", "`" * 30 + "…", plain)  # a fence that is longer than all that is in it must fit as well
    fence = "`" * max(3, _longest_run(plain) + 1)
    return f"{fence}{language}\n{plain}\n{fence}"


def _one_line(text: str, letters: int) -> str:
    plain = _visible(" ".join(text[: letters * 4].split()))
    return plain if len(plain) <= letters else plain[: letters - 1] + "…"


def _visible(text: str) -> str:
    return "".join(letter if unicodedata.category(letter)[0] != "C" else "�" for letter in text)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def size(text: str) -> int:
    """How long a text is as GitHub may count it: letters outside the first plane count twice."""
    return len(text) + sum(1 for letter in text if letter > "\uffff")


# --- a plan


def plan_markdown(told: Mapping[str, Any], hazards: Sequence[Hazard]) -> str:
    """A plan, as `plan --json` tells it, with the safe ways of its hazards."""
    pending = told["pending"]
    parts = [f"## {_plan_headline(told)}"]
    if told["blocked"]:
        parts.append(f"**In the way:** {words(str(told['blocked']))}")
    parts.append(_bullets((words(str(one["message"])) for one in told["history"]), "History and files differ"))
    if pending:
        rows = (
            [str(number), code(_filename(one)), code(one["sha256"][:_HASH_LETTERS])]
            for number, one in enumerate(pending, 1)
        )
        parts.append(_table(("", "Migration", "SHA-256 begins"), rows, _FILES_SHARE))
    deployed = [one for one in told["functions"] if one["change"] in ACTS]
    if deployed:
        names = ([code(str(one["slug"])), one["change"], code(one["sha256"][:_HASH_LETTERS])] for one in deployed)
        parts.append(_table(("Function", "", "SHA-256 begins"), names, _FILES_SHARE))
    if pending or deployed:
        parts.append(_hazards(hazards, {one["version"]: _filename(one) for one in pending}))
        parts += _rehearsal(told["rehearsal"])
    end = f"Commit {code(str(told['commit'])[:12])}, plan {code(str(told['digest']))}: what people approve."
    return _with_diff(parts, str(told["diff"]), end)


def _plan_headline(told: Mapping[str, Any]) -> str:
    target = words(str(told["target"]))
    if told["blocked"]:
        return f"Plan for {target}: a push would be refused"
    deployed = [one for one in told["functions"] if one["change"] in ACTS]
    work = work_text(len(told["pending"]), len(deployed))
    if not told["pending"] and not deployed:
        return f"{target}: nothing to do"
    if told["rehearsal"] and told["rehearsal"]["outcome"] == Outcome.FAILED:
        return f"Plan for {target}: fails on a copy, {work} pending"
    return f"Plan for {target}: {work} pending"


def _filename(one: Mapping[str, Any]) -> str:
    return f"{one['version']}_{one['name']}.sql"


def _hazards(hazards: Sequence[Hazard], paths: Mapping[str, str]) -> str:
    if not hazards:
        return "### Hazards: none found"
    told = [{**one.to_json(), "safe_way": one.safe_way} for one in hazards]
    rows = (
        [
            f"**{one['level']}**" if one["level"] in LEVELS[:2] else str(one["level"]),
            code(f"{one['class']}/{one['rule']}"),
            code(f"{paths.get(str(one['version']), one['version'])}:{one['line']}"),
            words(str(one["message"])) + (f"<br>Safe way: {words(str(one['safe_way']))}" if one["safe_way"] else ""),
        ]
        for one in ranked_hazards(told)
    )
    table = _table(("Level", "Class and rule", "Where", "What"), rows, _HAZARDS_SHARE)
    return f"### Hazards: {hazards_text(told)}\n\n{table}"


def _rehearsal(told: Mapping[str, Any] | None) -> list[str]:
    """What the plan did on a copy of the target."""
    if not told:
        return ["### Rehearsal: not done"]
    outcome = words(str(told["outcome"]))
    facts = [f"In {told['seconds']:.1f} s on a copy of the target, {words(str(told['server']))}"]
    facts += ["with the target's rows" if told["with_data"] else "with its schema and no rows"]
    facts += [] if told["is_exact"] else [f"the copy differs: {words(str(told['inexact_because']) or 'unknown')}"]
    parts = [f"### Rehearsal: {outcome}"]
    parts += [f"Because: {words(str(told['because']))}"] if told["because"] else []
    parts += [f"{'; '.join(facts)}."] if told["outcome"] != "impossible" else []
    parts += [_error(one) for one in told["files"] if one["error"]]
    found = from_json(told)
    did = [f"**{mark}** {words(plain_line(line))}" for mark, line in done_lines(found, DONE)]
    parts += [_bullets(did, "What the statements did")]
    parts += [_bullets(map(code, told["stand_ins"]), "Extensions of which only the outside was there")]
    parts += [_bullets(map(words, told["unseen"]), "What a copy cannot show")]
    opened = (f"**{one['level']}** {words(one['message'])}" for one in told["access_opened"])
    parts += [_bullets(opened, "Access that it opens")]
    changed = told["changes"]
    total = len(changed) + told["changes_left_out"]
    parts += [_bullets(map(_changed, changed), f"Schema: {plural(total, 'object')} changed")]
    return parts


def _error(file: Mapping[str, Any]) -> str:
    error = file["error"]
    where = f"{file['filename']}:{error.get('line') or '?'}"
    told = "\n".join(str(error[part]).expandtabs(8)[:_ERROR_LETTERS] for part in _ERROR_PARTS if error.get(part))
    parts = [f"{code(where)} failed, SQLSTATE {code(str(error.get('sqlstate') or '?'))}:", fenced(told)]
    ours = (("About the copy", "about_copy"), ("To mend it", "to_mend"))
    return "\n\n".join([*parts, *(f"{title}: {words(str(error[key]))}" for title, key in ours if error.get(key))])


_ERROR_PARTS, _ERROR_LETTERS = ("message", "detail", "hint", "caret"), 800


def _changed(one: Mapping[str, Any]) -> str:
    name = ".".join(part for part in (one["schema"], one["name"]) if part)
    return f"{one['change']} {words(one['kind'])} {code(name)}" + (f": {words(one['words'])}" if one["words"] else "")


def _bullets(lines: Iterable[str], title: str) -> str:
    """As many of the lines as fit, and how many did not."""
    kept, left, out = [], _LIST_SHARE, 0
    for line in lines:
        left -= size(line) + 3
        if left >= 0:
            kept.append(f"- {line}")
        else:
            out += 1
    more = [f"- and {out} more, which would not fit here"] if out else []
    return "\n".join([f"{title}:", "", *kept, *more]) if kept or out else ""


# --- lint


def lint_markdown(told: Mapping[str, Any], hazards: Sequence[Hazard], summary: str) -> str:
    """What `lint` found, as its JSON tells it."""
    files = {one["version"]: one["file"] for one in told["files"]}
    parts = [f"## {words(summary)}"]
    refused = [code(f"{one['file']}:{one['line']}") + f" {words(one['message'])}" for one in told["refusals"]]
    parts += [_bullets(refused, "Cannot be run as it stands")]
    parts.append(_hazards(hazards, files))
    rows = ([code(one["file"]), code(one["sha256"][:_HASH_LETTERS])] for one in told["files"])
    parts.append(_table(("Migration", "SHA-256 begins"), rows, _FILES_SHARE))
    return _with_diff(parts, "", "")


# --- putting together


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], letters: int) -> str:
    """As many rows as fit, and how many did not."""
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    left, out = letters, 0
    for row in rows:
        line = f"| {' | '.join(row)} |"
        left -= size(line) + 1
        if left >= 0:
            lines.append(line)
        else:
            out += 1
    return "\n".join(lines) + (f"\n\nand {out} more, which would not fit here" if out else "")


def _with_diff(parts: Sequence[str], diff: str, end: str) -> str:
    """The parts, the diff folded away as far as there is room for it, and the end."""
    body = "\n\n".join(part for part in parts if part)
    left = MOST_LETTERS - _KEPT_FREE - size(body) - size(end)
    lines = diff.splitlines()
    kept: list[str] = []
    for line in lines:
        left -= size(line.expandtabs(8)) + 1
        if left < 0:
            break
        kept.append(line)
    if lines:
        out = f", the first {len(kept)}" if len(kept) < len(lines) else ""
        summary = f"Schema diff: {plural(len(lines), 'line')}{out}"
        body += f"\n\n<details><summary>{summary}</summary>\n\n{fenced(chr(10).join(kept), 'diff')}\n\n</details>"
    return "\n\n".join([body, *([end] if end else [])]) + "\n"
