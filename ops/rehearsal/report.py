"""What a rehearsal showed, as frozen values and as the plain JSON that the log, `plan --json` and the card share."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from enum import StrEnum
from typing import Any
from typing import TypeVar

_Fact = TypeVar("_Fact")


class Outcome(StrEnum):
    """PASSED: every file ran on the copy. FAILED: one did not. IMPOSSIBLE: nothing could be tried, `because` says why."""

    PASSED = "passed"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class HeldLock:
    """The strongest lock that a statement took on a relation that was there before the plan: `AccessExclusiveLock`.

    `bytes` and `rows` are the target's, as in Rewrite.
    """

    relation: str
    mode: str
    bytes: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Rewrite:
    """A relation whose file was written anew. `bytes` and `rows` are the target's, None where they are unknown.

    `kind`: `table`, `index` (one that was there, built again without its table), `materialized view`, or `truncated`
    (a table that was emptied). `bytes` counts the relation with what it holds out of line, without its indexes; `rows`
    is the server's estimate.
    """

    relation: str
    kind: str
    bytes: int | None
    rows: int | None


@dataclass(frozen=True)
class TouchedRows:
    """Rows that a statement wrote on the copy; without data on the copy only what the files themselves wrote counts."""

    relation: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Dropped:
    """An object that a statement dropped and that was there before the plan.

    `cascaded` when it was not named but went along. `kind` is the server's word: table, table column, view, policy…;
    of a column, `rows` is its table's estimate.
    """

    kind: str
    name: str
    cascaded: bool
    bytes: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class StatementFacts:
    """What one statement did on the copy. `index` counts from 0 in the file, `line` from 1.

    `locks` are those that no earlier statement of the same transaction held as strong already; reading (AccessShareLock)
    is left out. `more` counts facts that were too many to be kept.
    """

    index: int
    line: int
    seconds: float
    locks: tuple[HeldLock, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    rows: tuple[TouchedRows, ...] = ()
    drops: tuple[Dropped, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class FileFacts:
    """What one file did. `outcome`: passed, failed, not_run.

    `catalog_sha256` is the schema that it left, None unless it passed. `error` is an SqlError as JSON, with SQLSTATE,
    line and excerpt; apart from the server's words it has ours: `about_copy`, and `to_mend` where no file is to be
    mended. `ran` counts its statements that ended well; `statements` are those of them with something to tell, without
    the `left_out` that were too many.
    """

    version: str
    filename: str
    outcome: str
    seconds: float
    catalog_sha256: str | None
    statements: tuple[StatementFacts, ...] = ()
    error: Mapping[str, Any] | None = None
    ran: int = 0
    left_out: int = 0

    def keeping(self, statements: tuple[StatementFacts, ...]) -> "FileFacts":
        """The same with these of its statements; the others are counted."""
        left_out = self.left_out + len(self.statements) - len(statements)
        return replace(self, statements=statements, left_out=left_out)


@dataclass(frozen=True)
class AccessChange:
    """Something about who may read or change what, that the plan brings about (or mends). `key` tells it apart."""

    rule: str
    level: str
    object: str
    message: str
    key: str


@dataclass(frozen=True)
class ChangedObject:
    """One object of the schema that the plan changes. `change`: created, dropped, changed. `words` say how.

    `kind` is pg_dump's word in small letters: table, index, function, acl…
    """

    change: str
    kind: str
    schema: str
    name: str
    words: str


@dataclass(frozen=True)
class Rehearsal:
    """All that a rehearsal showed.

    `is_exact`: the copy's schema had the target's hash before the first file, so that `catalog_sha256` of a file is
    what the target must show after it; else `inexact_because` says what differs. `stand_ins` are extensions of which
    only the outside was there. `unseen` are sentences about what could not be seen and matters for this plan.
    `diff_text` is the unified difference of the schema, secrets cut. `phases` are seconds; some overlap.
    """

    outcome: Outcome
    because: str = ""
    seconds: float = 0.0
    server: str = ""
    target_server: str = ""
    isolation: str = ""
    with_data: bool = False
    is_exact: bool = False
    inexact_because: str = ""
    stand_ins: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    files: tuple[FileFacts, ...] = ()
    access_opened: tuple[AccessChange, ...] = ()
    access_mended: tuple[AccessChange, ...] = ()
    changes: tuple[ChangedObject, ...] = ()
    changes_left_out: int = 0
    diff_text: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)

    def expected(self) -> list[dict[str, str]] | None:
        """What the target must show after each file, in order: `version` and `catalog_sha256`. None: not known."""
        if self.outcome is not Outcome.PASSED or not self.is_exact:
            return None
        return [{"version": one.version, "catalog_sha256": one.catalog_sha256 or ""} for one in self.files]

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON, without `diff_text`, which is printed beside it. `from_json` reads it back."""
        found = asdict(self)
        del found["diff_text"]
        found["outcome"] = self.outcome.value
        return found


def from_json(kept: Mapping[str, Any], diff_text: str = "") -> Rehearsal:
    """The rehearsal that `to_json` made this of. Raises KeyError, TypeError or ValueError for anything else."""
    return Rehearsal(
        **{
            **kept,
            "outcome": Outcome(kept["outcome"]),
            "stand_ins": tuple(kept["stand_ins"]),
            "unseen": tuple(kept["unseen"]),
            "files": tuple(_file(one) for one in kept["files"]),
            "access_opened": tuple(AccessChange(**one) for one in kept["access_opened"]),
            "access_mended": tuple(AccessChange(**one) for one in kept["access_mended"]),
            "changes": tuple(ChangedObject(**one) for one in kept["changes"]),
        },
        diff_text=diff_text,
    )


def _file(kept: Mapping[str, Any]) -> FileFacts:
    return FileFacts(**{**kept, "statements": tuple(_statement(one) for one in kept["statements"])})


def _statement(kept: Mapping[str, Any]) -> StatementFacts:
    return StatementFacts(
        **{
            **kept,
            "locks": tuple(HeldLock(**one) for one in kept["locks"]),
            "rewrites": tuple(Rewrite(**one) for one in kept["rewrites"]),
            "rows": tuple(TouchedRows(**one) for one in kept["rows"]),
            "drops": tuple(Dropped(**one) for one in kept["drops"]),
        }
    )


STATEMENTS_KEPT = 200
_FACTS_KEPT = 50  # of one kind, for one statement
_CHANGES_KEPT = 500
ACCESS_KEPT = 200
"""So many of what a plan opens, and of what it mends, are kept."""
_DIFF_BYTES = 256 * 1024
_MOST_FACTS = 20_000
_MOST_DIFF_BYTES = 16 * 2**20
_HOLDS_DATA = frozenset(
    ("database", "foreign table", "large object", "materialized view", "schema", "sequence", "table", "table column")
)


def bounded(found: Rehearsal) -> Rehearsal:
    """The same for the log and for people, so that a plan of any size stays small: the statements that tell most, and
    counts of the rest. To be judged is the whole one."""
    kept = _most_telling(found, STATEMENTS_KEPT)
    files = []
    for number, one in enumerate(found.files):
        statements = tuple(_cut(each) for each in one.statements if (number, each.index) in kept)
        files.append(one.keeping(statements))
    return replace(
        found,
        files=tuple(files),
        changes=found.changes[:_CHANGES_KEPT],
        changes_left_out=found.changes_left_out + max(len(found.changes) - _CHANGES_KEPT, 0),
        access_opened=found.access_opened[:ACCESS_KEPT],
        access_mended=found.access_mended[:ACCESS_KEPT],
        diff_text=_shortened(found.diff_text, _DIFF_BYTES),
    )


def without_excess(found: Rehearsal) -> Rehearsal:
    """The same, whole for every plan that somebody could have meant: only what was made to be too much is cut."""
    return replace(
        found,
        files=_with_most_facts(found),
        changes=found.changes[:_MOST_FACTS],
        changes_left_out=found.changes_left_out + max(len(found.changes) - _MOST_FACTS, 0),
        access_opened=found.access_opened[:_MOST_FACTS],
        access_mended=found.access_mended[:_MOST_FACTS],
        diff_text=_shortened(found.diff_text, _MOST_DIFF_BYTES),
    )


def _with_most_facts(found: Rehearsal) -> tuple[FileFacts, ...]:
    """The files with at most as many facts as there may be, those of the most telling statements."""
    by_place = {(number, each.index): each for number, one in enumerate(found.files) for each in one.statements}
    if sum(map(_count, by_place.values())) <= _MOST_FACTS:
        return found.files
    left, kept = _MOST_FACTS, {}
    for place in _most_telling(found, len(by_place)):
        if left > 0:
            kept[place] = _cut(by_place[place], left // 4)
            left -= _count(kept[place])
    files = []
    for number, one in enumerate(found.files):
        statements = tuple(kept[number, each.index] for each in one.statements if (number, each.index) in kept)
        files.append(one.keeping(statements))
    return tuple(files)


def _most_telling(found: Rehearsal, most: int) -> dict[tuple[int, int], None]:
    """Places (number of the file, index) of the statements that tell most, those first."""
    telling = sorted(
        (
            (_weight(statement), -number, -statement.index)
            for number, one in enumerate(found.files)
            for statement in one.statements
        ),
        reverse=True,
    )
    return dict.fromkeys((-number, -index) for _, number, index in telling[:most])


def _weight(statement: StatementFacts) -> tuple[bool, bool, bool, bool, bool, float]:
    """What people most need to see weighs most: what is lost, what is written anew, who is shut out."""
    return (
        any(map(_loses_data, statement.drops)),
        bool(statement.rewrites),
        bool(statement.drops),
        any(lock.mode == "AccessExclusiveLock" for lock in statement.locks),
        bool(statement.rows),
        statement.seconds,
    )


def _loses_data(drop: Dropped) -> bool:
    return drop.kind in _HOLDS_DATA


def _count(statement: StatementFacts) -> int:
    return len(statement.locks) + len(statement.rewrites) + len(statement.rows) + len(statement.drops)


def _cut(statement: StatementFacts, most: int = _FACTS_KEPT) -> StatementFacts:
    """With at most so many facts of each kind; what holds data first."""
    lists: tuple[Sequence[object], ...] = (statement.locks, statement.rewrites, statement.rows, statement.drops)
    more = sum(max(len(one) - most, 0) for one in lists)
    if not more:
        return statement
    return replace(
        statement,
        locks=statement.locks[:most],
        rewrites=_first(statement.rewrites, lambda one: one.kind != "index", most),
        rows=statement.rows[:most],
        drops=_first(statement.drops, _loses_data, most),
        more=statement.more + more,
    )


def _first(facts: Sequence[_Fact], matters: Callable[[_Fact], bool], most: int) -> tuple[_Fact, ...]:
    """So many of them in their order; when there are more, those that matter."""
    order = sorted(range(len(facts)), key=lambda place: not matters(facts[place]))
    return tuple(facts[place] for place in sorted(order[:most]))


def _shortened(diff_text: str, most_bytes: int) -> str:
    """At most so long, cut behind a whole line, with a last line that says so."""
    whole = diff_text.encode()
    if len(whole) <= most_bytes:
        return diff_text
    kept = whole[:most_bytes]
    kept = kept[: kept.rfind(b"\n") + 1]
    lines = whole.count(b"\n") - kept.count(b"\n")
    return kept.decode(errors="ignore") + f"\\ Cut here: {lines} more lines are not shown.\n"
