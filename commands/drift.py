"""`drift prod`: how a target differs from what its migrations make; `drift dev prod`: how prod differs from dev.

For one environment, its history is replayed on a throw-away copy that has the platform's own schemas only, every applied
migration in order, and the schema that this makes is held against the target's. For two, the schema of the second is held
against that of the first, which counts as it should be. The schemas that Supabase manages are left out, but for policies
and triggers that a project hangs into them.

Every object that differs is named, with the statements that even it out where they can be derived. They are run on a
copy of the target first: "proven" means that the difference was gone there and nothing else had changed. They are for a
migration of yours; nothing is written to any target. What a column held cannot be brought back by a statement.

Whoever may push to the environments may ask. A history that cannot be replayed is told with the place where it fails.

Examples:
    drift prod                  what was changed by hand, or never came from a migration
    drift dev prod              what prod has otherwise than dev
    drift prod --check          the same, ending with exit code 1 when something differs
    drift dev prod --json       for programs

See also: diff, history, adopt
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from commands.changes_parts import difference_part
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page_words import plural
from commands.page_words import seconds_text
from commands.page_words import shortened
from commands.reply import PrivateFile
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.drift import Difference
from ops.drift import Drift
from ops.drift import drift_between
from ops.drift import drift_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.schema.naming import words_of
from ops.targets import find_target

USAGE = "drift ENVIRONMENT [ENVIRONMENT] [--check]"
SUMMARY = "show how a target differs from its migrations, or from another"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"check": Option(help="end with exit code 1 when something differs")}

CHANGES_IN_SLACK = 20
LINES_IN_SLACK = 25
REASONS_SHOWN = 8
WORDS_LETTERS = 120

_LOSES = re.compile(r"DROP\s+(TABLE|COLUMN|SCHEMA|MATERIALIZED|SEQUENCE|TYPE)|ALTER COLUMN .* TYPE", re.IGNORECASE)


def run(ops: Ops, said: Said) -> Reply:
    if not 1 <= len(said.arguments) <= 2:
        raise OpsError(Reason.BAD_USAGE, "`drift` takes one environment, or two to compare.", f"Type `{USAGE}`.")
    targets = [find_target(ops.settings, one) for one in said.arguments]
    if len(targets) == 1:
        found = drift_of(ops, targets[0], said.actor, said.progress)
    elif targets[0].name == targets[1].name:
        raise OpsError(Reason.BAD_USAGE, "`drift` compares two different environments.", f"Type `{USAGE}`.")
    else:
        found = drift_between(ops, targets[0], targets[1], said.actor, said.progress)
    reply = _reply(ops, said, found)
    if "check" not in said.options or all(one.adopted_by for one in found.differences):
        return reply
    told = {"status": "failed", "reason": Reason.DRIFT_FOUND.value, "message": reply.page.headline, "hint": ""}
    return Reply(reply.page, {**reply.data, **told}, ok=False, exit_code=1, file=reply.file)


def _reply(ops: Ops, said: Said, found: Drift) -> Reply:
    if said.front is Front.TERMINAL or ops.settings.slack is None:
        return Reply(_page(found, None, [*_statements(found, None), *difference_part(found.diff_text)]), _json(found))
    if ops.settings.slack.sql == "hash":
        words: list[Part] = [Paragraph(("The statements and the difference are shown at the terminal alone.",))]
        return Reply(_page(found, CHANGES_IN_SLACK, words if found.differences else []), _json(found))
    body = [*_statements(found, LINES_IN_SLACK), *difference_part(found.diff_text, LINES_IN_SLACK)]
    name = f"drift-{found.target.replace('/', '-')}.sql"
    file = PrivateFile(name, _document(found)) if found.differences else None
    return Reply(_page(found, CHANGES_IN_SLACK, body), _json(found), file=file)


def _page(found: Drift, most: int | None, behind: list[Part]) -> Page:
    facts: list[tuple[str, Line]] = []
    if found.commit:
        facts.append(("Commit", (Code(found.commit[:12]),)))
    facts.append(("Took", (seconds_text(found.seconds),)))
    notes: list[Part] = [Listing("Worth knowing", [(note,) for note in found.notes])] if found.notes else []
    if not found.differences:
        return Page(f"{found.target} is {_like(found)}", facts, notes, tone="good")
    adopted = sorted({one.adopted_by for one in found.differences if one.adopted_by})
    count = plural(len(found.differences), "object")
    body = [*_differences(found, most), *_reasons(found), *_losses(found), *notes, *behind]
    if all(one.adopted_by for one in found.differences):
        by = " and ".join(adopted)
        return Page(f"{found.target} is {found.wanted}, but for {count} that {by} adopted", facts, body, tone="good")
    if adopted:
        kept = sum(bool(one.adopted_by) for one in found.differences)
        facts.append(("Adopted as it is", (f"{kept} of {count}, by {' and '.join(adopted)}",)))
    proven = sum(one.is_proven for one in found.differences)
    facts.append(("Evened out on a copy", (f"{proven} of {count}",)))
    headline = f"{found.target} differs from {found.wanted}: {_counted(found)}"
    return Page(headline, facts, body, _next(found), tone="warning")


_ORDER = ("changed", "dropped", "created")


def _words(found: Drift, change: str) -> str:
    """What a change means here: it tells how the target is beside what is wanted."""
    return {"created": f"only on {found.target}", "dropped": f"missing on {found.target}"}.get(change, "differs")


def _counted(found: Drift) -> str:
    counts = Counter(one.object.change for one in found.differences)
    return ", ".join(f"{counts[change]:,} {_words(found, change)}" for change in _ORDER if counts[change])


def _differences(found: Drift, most: int | None) -> list[Part]:
    """Every object, table by table, and on which side it is."""
    shown = found.differences[:most]
    lines: list[Line] = [(_about(one),) for one in shown]
    marks = [_words(found, one.object.change) for one in shown]
    if len(shown) < len(found.differences):
        lines.append((f"{plural(len(found.differences) - len(shown), 'object')}; the terminal shows all",))
        marks.append("more")
    return [Listing("Differences", lines, marks)]


def _about(one: Difference) -> str:
    words = f" ({shortened(one.object.words, WORDS_LETTERS)})" if one.object.words else ""
    return f"{_named(one)}{words}"


def _like(found: Drift) -> str:
    return found.wanted if found.migrations else f"like {found.wanted}"


def _next(found: Drift) -> Line:
    if found.migrations:
        back = " The statements take back the rest, when they are run." if found.statements else ""
        return (f"put what is to stay into a migration.{back}",)
    words = (Command(f"plan {found.target.rpartition('/')[2]}"), " shows what a push would even out")
    return (*words, "; the rest is for a migration." if found.statements else ".")


def _reasons(found: Drift) -> list[Part]:
    """Why some of it cannot be evened out by statements."""
    without = [one for one in found.differences if not one.is_proven and not one.adopted_by]
    lines: list[Line] = [(f"{_named(one)}: {one.reason}",) for one in without[:REASONS_SHOWN]]
    if len(without) > REASONS_SHOWN:
        lines.append((f"and {len(without) - REASONS_SHOWN} more",))
    return [Listing("Not evened out", lines)] if lines else []


def _losses(found: Drift) -> list[Part]:
    """The statements that take rows with them, before all the others."""
    losing = [statement for statement in found.statements if _LOSES.search(statement)]
    lines: list[Line] = [(Code(shortened(" ".join(one.split()))),) for one in losing[:REASONS_SHOWN]]
    if len(losing) > REASONS_SHOWN:
        lines.append((f"and {len(losing) - REASONS_SHOWN} more",))
    return [Listing("These statements lose what is in there", lines)] if lines else []


def _title(found: Drift) -> str:
    return f"To make {found.target} {_like(found)}, proven on a copy"


def _statements(found: Drift, most: int | None) -> list[Part]:
    lines = [line for statement in found.statements for line in statement.splitlines()]
    if not lines:
        return []
    cut = most is not None and len(lines) > most
    return [Source(f"{_title(found)}, the first {most} lines" if cut else _title(found), "\n".join(lines[:most]))]


def _document(found: Drift) -> str:
    """The statements, and behind them the difference as comments: one file that can be read, and run."""
    parts = [
        f"-- {found.target} differs from {found.wanted} in {plural(len(found.differences), 'object')}.",
        f"-- {_title(found)}: there, these statements did that and nothing else." if found.statements else "",
        *(f"-- {note}" for note in found.notes),
        *found.statements,
        "",
        "-- The difference, from what is wanted to what is there:",
        *(f"-- {line}" for line in found.diff_text.splitlines()),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _named(one: Difference) -> str:
    return words_of(one.object)


def _json(found: Drift) -> Mapping[str, Any]:
    return {
        "target": found.target,
        "against": found.wanted,
        "commit": found.commit,
        "differences": [
            {
                **asdict(one.object),
                "statements": list(one.statements),
                "proven": one.is_proven,
                "reason": one.reason,
                "adopted_by": one.adopted_by,
            }
            for one in found.differences
        ],
        "statements": list(found.statements),
        "diff": found.diff_text,
        "notes": list(found.notes),
        "seconds": found.seconds,
    }
