"""What a rehearsal showed, as frozen values and as the plain JSON that the log, `plan --json` and the card share."""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """PASSED: every file ran on the copy. FAILED: one did not. IMPOSSIBLE: nothing could be tried, `because` says why."""

    PASSED = "passed"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class HeldLock:
    """The strongest lock that a statement took on a relation that was there before the plan: `AccessExclusiveLock`."""

    relation: str
    mode: str


@dataclass(frozen=True)
class Rewrite:
    """A relation whose file was written anew. `bytes` and `rows` are the target's, None where they are unknown.

    `bytes` counts the relation alone, without its indexes; `rows` is the server's estimate.
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
    """An object that a statement dropped; `cascaded` when it was not named but went along."""

    kind: str
    name: str
    cascaded: bool
    bytes: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class StatementFacts:
    """What one statement did on the copy. `index` counts from 0 in the file, `line` from 1."""

    index: int
    line: int
    seconds: float
    locks: tuple[HeldLock, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    rows: tuple[TouchedRows, ...] = ()
    drops: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class FileFacts:
    """What one file did. `outcome`: passed, failed, not_run. `catalog_sha256` is the schema that it left, None unless
    it passed. `error` is an SqlError as JSON, with SQLSTATE, line and excerpt."""

    version: str
    filename: str
    outcome: str
    seconds: float
    catalog_sha256: str | None
    statements: tuple[StatementFacts, ...] = ()
    error: Mapping[str, Any] | None = None


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
    `diff_text` is the unified difference of the schema, secrets cut.
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
