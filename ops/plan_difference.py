"""How a plan differs from an earlier one for people who said yes to that: what they have not seen, and what they would miss.

Pure functions of two requests, what ran in between, and the target's history. Doubt is a difference.
"""

import re
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ops.hazards.model import Level
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.landing import Landing
from ops.policy_changes import policy_changes
from ops.rehearsal.report import ACCESS_KEPT
from ops.requests import Request
from ops.supabase.function_log import planned_functions

OTHER_PARTS = frozenset({"commit", "files", "fingerprint", "policy", "expected", "functions"})
"""The parts of a canonical plan that are compared by rules of their own; all others have to be the same."""

SHOWN_MOST = 20
"""So many sentences of one sort are kept: the events that hold them stay for ever."""

_STATE = frozenset({"history_sha256", "schema_sha256"})
_NUMBER = re.compile(r"\d(?:[\d,.]*\d)?")
GREW_BY = 2.0
"""A hazard that names a number more than so many times as large as before is another hazard: 1,000 rows and 40,000,000."""


@dataclass(frozen=True)
class ChangedFile:
    """A file that was added, changed or taken out, with the lines of it that are new or gone; None: it could not be read."""

    how: str
    filename: str
    plus: int | None
    minus: int | None

    def __str__(self) -> str:
        counts = [f"{sign}{count}" for sign, count in (("+", self.plus), ("−", self.minus)) if count]
        lines = (
            f" ({' '.join(counts)} line{'s' if counts[1:] or counts[0] not in {'+1', '−1'} else ''})" if counts else ""
        )
        return f"{self.filename} {self.how}{lines}"


@dataclass(frozen=True)
class Difference:
    """What is not as it was. All but `ran` and `landed` voids an approval.

    `landed`: the requests that ran on the target in between; `ran`: the files of the earlier plan that they applied.
    """

    landed: tuple[str, ...] = ()
    ran: tuple[str, ...] = ()
    files: tuple[ChangedFile, ...] = ()
    hazards: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    rest: tuple[str, ...] = field(default=())

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nobody who agreed to the earlier plan has agreed to this one, in words; empty: they have."""
        return (*map(str, self.files), *self.hazards, *self.rules, *self.rest)

    def to_json(self) -> dict[str, Any]:
        """As the events keep it: sentences by what they are about, the requests that landed, the files that they ran."""
        named = {
            "files": tuple(map(str, self.files)),
            "hazards": self.hazards,
            "rules": self.rules,
            "rest": self.rest,
            "landed": self.landed,
            "ran": self.ran,
        }
        return {name: _bounded(found) for name, found in named.items() if found}


def _bounded(found: Sequence[str]) -> list[str]:
    more = len(found) - SHOWN_MOST
    return [*found[:SHOWN_MOST], *([f"and {more} more"] if more > 0 else [])]


@dataclass(frozen=True)
class Texts:
    """The texts of both plans' files by name, as far as they could be read; they are counted, not judged."""

    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)


NO_TEXTS = Texts()


def difference(
    old: Request, new: Request, landings: Sequence[Landing], history: Sequence[HistoryRow], texts: Texts = NO_TEXTS
) -> Difference:
    """How the plan of `new` differs from that of `old`, which people may have agreed to.

    `landings`: the runs that ended on the target between the two, `history` the rows of the target as `new` saw it.
    """
    ran = [one for one in old.files if _is_landed(one, landings)]
    return Difference(
        landed=tuple(dict.fromkeys(one.request.id for one in landings)),
        ran=tuple(str(one["filename"]) for one in ran),
        files=tuple(_files(old, new, ran, texts)),
        hazards=tuple(_hazards(old, new)),
        rules=tuple(_rules(old, new)),
        rest=(
            *_order(old, new),
            *_target(old, new, landings, history),
            *_rehearsal(old, new, landings),
            *_functions(old, new, landings),
            *_parts(old, new),
        ),
    )


def _is_landed(file: Mapping[str, Any], landings: Sequence[Landing]) -> bool:
    """Whether one of the runs in between applied this file with these bytes."""
    return any(
        landing.is_certain and landing.files.get(str(file["version"]), {}).get("sha256") == file["sha256"]
        for landing in landings
    )


def _files(old: Request, new: Request, ran: Sequence[Mapping[str, Any]], texts: Texts) -> list[ChangedFile]:
    """What was added, changed or taken out. A file that ran meanwhile is none of them, unless it is to run again."""
    before = {str(one["filename"]): one for one in old.files}
    after = {str(one["filename"]): one for one in new.files}
    done = {str(one["filename"]) for one in ran}
    found = []
    for name in dict.fromkeys((*after, *before)):
        if before.get(name) == after.get(name) and name not in done:
            continue
        if name not in after and name in done:
            continue
        how = "was added" if name not in before else "was taken out" if name not in after else "was changed"
        how = "is to run again" if name in after and name in done else how
        found.append(_changed(how, name, texts, name in before, name in after))
    return found


def _changed(how: str, name: str, texts: Texts, was_there: bool, is_there: bool) -> ChangedFile:
    before = texts.before.get(name) if was_there else ""
    after = texts.after.get(name) if is_there else ""
    if before is None or after is None:
        return ChangedFile(how, name, None, None)
    old, new = Counter(before.splitlines()), Counter(after.splitlines())
    return ChangedFile(how, name, sum((new - old).values()), sum((old - new).values()))


def _order(old: Request, new: Request) -> list[str]:
    """Whether the files that both have stand in another order."""
    names = [[str(one["filename"]) for one in request.files] for request in (old, new)]
    both = set(names[0]) & set(names[1])
    before, after = ([name for name in each if name in both] for each in names)
    return ["The files run in another order"] if before != after else []


def _hazards(old: Request, new: Request) -> list[str]:
    """What is more dangerous than it was: a hazard that was not there, or one that is worse now or about much more."""
    left: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for one in old.hazards:
        left.setdefault(_kind(one), []).append(one)
    found = []
    for one in new.hazards:
        known = left.get(_kind(one), [])
        match = next((each for each in known if _is_no_worse(one, each)), None)
        if match is not None:
            known.remove(match)
        else:
            worse = "is worse now" if known else "is new"
            found.append(f"{one['level']} {one['rule']} at {one['version']}:{one['line']} {worse}")
    return found


def _kind(hazard: Mapping[str, Any]) -> tuple[str, ...]:
    """What two hazards must have in common to be the same one: what it is, where, and its words without their numbers."""
    return (
        *(str(hazard[name]) for name in ("rule", "class", "version", "line")),
        _NUMBER.sub("#", str(hazard["message"])),
    )


def _is_no_worse(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    ranks = [list(Level).index(Level(one["level"])) if one["level"] in list(Level) else None for one in (now, before)]
    if ranks[0] is None or ranks[1] is None or ranks[0] > ranks[1]:
        return False
    ours, theirs = _numbers(str(now["message"])), _numbers(str(before["message"]))
    # Words that only look alike without their numbers (`t##` and `t#1`) may have other counts of them.
    return len(ours) == len(theirs) and all(one <= other * GREW_BY for one, other in zip(ours, theirs, strict=True))


def _numbers(text: str) -> list[float]:
    """The numbers of a sentence; what cannot be read as one counts as without bound, so that it is larger than any."""
    return [_number(one.replace(",", "")) for one in _NUMBER.findall(text)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # a version such as 17.0.1
        return float(text.replace(".", ""))


def _rules(old: Request, new: Request) -> list[str]:
    """The rules that a yes rests on, and who may not give one."""
    before, after = old.plan["policy"], new.plan["policy"]
    changes = [f"The policy differs: {change}" for change in policy_changes(before, after)]
    found = changes or (["The policy is another one"] if before != after else [])
    authors = sorted({*new.authors, *new.unknown_authors} - {*old.authors, *old.unknown_authors})
    found += [f"Commits by others are in it: {', '.join(authors)}"] if authors else []
    # Where no file left the plan nobody's part in it can have gone: the same bytes are said to be somebody else's.
    gone = sorted({*old.authors} - {*new.authors})
    is_whole = {str(one["filename"]) for one in old.files} <= {str(one["filename"]) for one in new.files}
    return found + ([f"It no longer says who wrote it: {', '.join(gone)}"] if gone and is_whole else [])


def _target(old: Request, new: Request, landings: Sequence[Landing], history: Sequence[HistoryRow]) -> list[str]:
    """Whether the target is another one, or was changed by anything but the runs in between, as the log has those."""
    before, after = old.plan["fingerprint"], new.plan["fingerprint"]
    if any(before.get(name) != after.get(name) for name in {*before, *after} - _STATE):
        return ["The target is another database or server"]
    if not landings:
        return [] if before == after else ["The target was changed by something else"]
    unclear = [one.request.id for one in landings if not one.is_certain]
    if unclear:
        return [f"{unclear[0]} ran on the target, and nobody can tell exactly what it changed there"]
    return [] if _is_accounted_for(before, after, landings, history) else ["The target was changed by something else"]


def _is_accounted_for(
    before: Mapping[str, Any], after: Mapping[str, Any], landings: Sequence[Landing], history: Sequence[HistoryRow]
) -> bool:
    """Whether the runs lead from one state to the other without a gap: each began where the last one had ended."""
    schema = before["schema_sha256"]
    for number, landing in enumerate(landings):
        later = {version for each in landings[number:] for version in each.files}
        base = landing.request.plan["fingerprint"]
        rows = history_sha256([row for row in history if row.version not in later])
        if (base["schema_sha256"], base["history_sha256"]) != (schema, rows):
            return False
        if number == 0 and base["history_sha256"] != before["history_sha256"]:
            return False
        schema = landing.schema_sha256
    return bool(after["schema_sha256"] == schema and after["history_sha256"] == history_sha256(history))


def _rehearsal(old: Request, new: Request, landings: Sequence[Landing]) -> list[str]:
    """Whether the rehearsal shows something that the earlier one did not, or less surely."""
    before, after = old.rehearsal or {}, new.rehearsal or {}
    if not before and not after:
        return []
    if after.get("outcome") != "passed" and after.get("outcome") != before.get("outcome"):
        return [f"The rehearsal {'showed: ' + str(after['outcome']) if after else 'is missing'}"]
    if before.get("with_data") and not after.get("with_data"):
        return ["It was rehearsed without the target's rows, and with them before"]
    told = [f"The rehearsal shows more: {words}" for name, words in _SEEN.items() if _has_more(before, after, name)]
    if len(after.get("access_opened", ())) >= ACCESS_KEPT:
        told.append("The rehearsal opens more to read or change than is kept here")
    if _ends_the_same(old, new):
        return told
    ours = {str(one["version"]) for one in old.files}
    if old.expected and all(version in ours for landing in landings for version in landing.files):
        return [*told, "The rehearsal ends with another schema"]
    is_cut = bool(after.get("changes_left_out"))
    more = is_cut or _has_more(before, after, "changes")
    return [*told, *(["The rehearsal changes other objects of the schema"] if more else [])]


_SEEN = {
    "access_opened": "who may read or change what",
    "unseen": "what could not be seen",
    "stand_ins": "extensions that were only stood in for",
}


def _has_more(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool:
    return any(one not in before.get(name, ()) for one in after.get(name, ()))


def _ends_the_same(old: Request, new: Request) -> bool:
    """Whether both rehearsals knew what the schema is behind each file, and it is the same for all that are left."""
    return bool(new.expected) and all(old.expected.get(version) == sha256 for version, sha256 in new.expected.items())


def _functions(old: Request, new: Request, landings: Sequence[Landing]) -> list[str]:
    """What is deployed otherwise than it was to be. One that a run in between deployed, byte for byte, is none of them."""
    before, after = ({str(one["slug"]): one for one in planned_functions(each.plan)} for each in (old, new))
    landed = {
        (str(one["slug"]), one["sha256"])
        for landing in landings
        if landing.is_certain
        for one in planned_functions(landing.request.plan)
    }
    found = []
    for slug in sorted({*before, *after}):
        was, now = before.get(slug), after.get(slug)
        if was == now or (now is None and was is not None and (slug, was["sha256"]) in landed):
            continue
        if was is None or now is None:
            found.append(f"The function {slug} was {'added' if was is None else 'taken out'}")
        elif {**was, "running": None} != {**now, "running": None}:
            found.append(f"The function {slug} was changed")
        else:
            found.append(f"The function {slug} runs something else now")
    return found


def _parts(old: Request, new: Request) -> list[str]:
    """The parts of a plan that are new to this comparison: whoever adds one need not think of it here."""
    names = {*old.plan, *new.plan} - OTHER_PARTS
    found = sorted(name for name in names if old.plan.get(name) != new.plan.get(name))
    told = [words[name in new.plan] for name in found if (words := _PARTS.get(name)) is not None]
    others = [name for name in found if name not in _PARTS]
    if (old.kind, old.target) != (new.kind, new.target):
        others.append("kind or target")
    return told + ([f"Another part of the plan differs: {', '.join(others)}"] if others else [])


_PARTS = {
    "emergency": ("It is no emergency any more", "It is an emergency, for a reason of its own"),
    "hotfix": ("It waits for windows and freezes, as a hotfix does not", "It passes windows and freezes (hotfix)"),
}
"""What is said of a part that is in the earlier plan alone, and of one that is in the new plan."""
