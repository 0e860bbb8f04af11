"""What is written down while a file is applied: the values, and the port through which the run keeps them."""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

from pglast import ast

from ops.batch_log import BatchIntent
from ops.batch_log import Begun
from ops.batch_pace import Pace
from ops.blockers import Blocker
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.migrations import Migration

if TYPE_CHECKING:
    from ops.apply_session import Session
    from ops.apply_session import Sessions


class Outcome(StrEnum):
    """What became of statements that were sent.

    DONE: committed. ROLLED_BACK: nothing of it remains. FAILED: an error came, and something may remain. UNKNOWN.
    """

    DONE = "done"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Intent:
    """These statements (indexes in the file) are sent next, by this backend; `sha256` is of their texts.

    A transactional segment has one intent for all of it, a statement that stands alone has its own. A `segment`
    behind the file's last one, without statements, is the history row of a file that was not one transaction.
    `backend_start` is UTC like `2026-11-22T13:52:01.123456Z`.
    """

    version: str
    segment: int
    statements: tuple[int, ...]
    sha256: str
    backend_pid: int
    backend_start: str
    batches: int = 0
    """Of a file that runs in batches: so many are committed already."""


@dataclass(frozen=True)
class CommitIntent:
    """COMMIT of this segment is sent next. `xid` is its transaction: the server knows what became of it."""

    version: str
    segment: int
    xid: str
    catalog_sha256: str


@dataclass(frozen=True)
class Finished:
    """What became of an intent. `detail` says in words what went wrong or what was left, and is empty otherwise.

    `each_seconds`: how long the statements of a transaction took that ended, in their order.
    """

    version: str
    segment: int
    statements: tuple[int, ...]
    outcome: Outcome
    seconds: float
    detail: str = ""
    each_seconds: tuple[float, ...] = ()
    batches: int = 0
    """Of a file that runs in batches: so many are committed."""


class Journal(Protocol):
    """Where a run keeps what it is about to do. A call returns when it is durable; raising means: not sent."""

    def statement_intended(self, intent: Intent) -> None:
        """Called before anything of the intent goes to the server."""

    def commit_intended(self, commit: CommitIntent, following: Intent | None) -> None:
        """Called before COMMIT. In one piece with it the intent of what comes behind it is kept, if that is known."""

    def catch_up(self) -> None:
        """Called while statements run that take their time: keep now what would else come with the next entry."""

    def batch_intended(self, batch: BatchIntent) -> Callable[[], None]:
        """Begin to keep it; what is returned waits until it is durable, and is called before the COMMIT of the batch."""

    def batches_begun(self, migration: Migration) -> Begun | None:
        """The newest batch of this file that may be on the target, from whichever run; None: there is none."""

    def place_secret(self) -> bytes:
        """What keyed hashes of places in a table are made with. Raises OpsError where there is none to be had."""

    def segment_finished(self, finished: Finished) -> None:
        """Called after; missing when the process died or the journal failed."""

    def file_applied(self, version: str, catalog_sha256: str, seconds: float) -> None:
        """The file and its history row are committed."""

    def waiting(self, version: str, blockers: tuple[Blocker, ...]) -> None:
        """A lock was not to be had; everything was rolled back and is tried again after a pause."""

    def cleaning(self, intent: Intent, indexes: tuple[str, ...]) -> None:
        """Called before INVALID indexes are dropped, which the intent's statement made and left when it failed."""

    def progressed(self, version: str, words: str, share: float | None) -> None:
        """How far what runs is, and how much of it (0 to 1, None: not known). Called now and then, from any thread."""


@dataclass(frozen=True)
class Patience:
    """How long locks are waited for, and how.

    A statement waits `lock_timeout_seconds` at first and up to `longest_lock_timeout_seconds` in later tries, but gives
    way as soon as somebody waits behind it; where that is ever the case, not before it let them wait `give_way_seconds`.
    Then all is rolled back, and after a growing, uneven pause tried again, until `seconds` have passed since the first
    try. What cannot be rolled back is tried once: with `seconds` where waiting disturbs nobody (CONCURRENTLY, VACUUM),
    else with `once_lock_timeout_seconds`. What a failed statement left is dropped within `cleanup_seconds`.
    `statement_timeout_seconds` None: statements may take as long as they take.
    """

    seconds: float = 120.0
    lock_timeout_seconds: float = 0.1
    longest_lock_timeout_seconds: float = 2.0
    give_way_seconds: float = 0.08
    once_lock_timeout_seconds: float = 1.0
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 5.0
    cleanup_seconds: float = 5.0
    statement_timeout_seconds: float | None = None
    pace: Pace = field(default_factory=Pace)
    """Of what runs in batches."""


@dataclass(frozen=True)
class Manners:
    """How one try waits for its locks: so long, and so long while somebody waits behind it (None: whoever does)."""

    lock_timeout_seconds: float
    give_way_seconds: float | None


NOTHING_REMAINS = "Nothing of this file remains on the target."

CarryOut = Callable[["Session", int, Callable[[], object]], None]
"""Given the session, a statement's index in its file, and the function that sends it."""


def _as_it_is(session: "Session", index: int, send: Callable[[], object]) -> None:
    send()


@dataclass(frozen=True)
class Work:
    """One file to apply, and everything that it takes. `expect_history`: the versions that are there, sorted."""

    migration: Migration
    connect: Callable[[], Connection]
    guard: Guard
    patience: Patience
    journal: Journal
    stop: Callable[[], bool]
    expect_history: tuple[str, ...]
    sessions: "Sessions"
    following: Migration | None = None
    """The file that the run applies next, if there is one."""
    check_catalog: Callable[[str], None] | None = None
    """Given the catalog hash that a file leaves which is one transaction, before its COMMIT; raising rolls all back."""
    check_first: Callable[[Connection], None] | None = None
    """Given the session in the transaction of the file's first statements, before any; raising rolls it back."""
    carry_out: CarryOut = _as_it_is
    """Around each statement of the file; with another one than this, every statement is sent by itself."""
    batches_together: bool = False
    """The batches of a file are one statement for `carry_out`, which gives them a transaction: for a copy of a target."""

    @property
    def is_one_transaction(self) -> bool:
        return self.migration.is_one_transaction

    @property
    def is_followed(self) -> bool:
        """Whether somebody looks at every single statement, or before the first."""
        return self.carry_out is not _as_it_is or self.check_first is not None

    @property
    def builds_unless_exists(self) -> bool:
        """Whether an index of that name has to be looked at before the file is sent."""
        nodes = [statement.tree.node for statement in self.migration.statements if statement.tree]
        return any(isinstance(node, ast.IndexStmt) and node.if_not_exists for node in nodes)

    def check_stop(self, remains: str) -> None:
        """Raises OpsError(STOPPED) when somebody said stop."""
        if self.stop():
            raise self.stopped(remains)

    def stopped(self, remains: str, cancelled: int | None = None, hint: str = "") -> OpsError:
        """How a file ended that somebody stopped; `cancelled` is the statement that was on its way just then."""
        filename = self.migration.filename
        if cancelled is None:
            said = f"{filename} was stopped before its next statement was sent."
        else:
            line = self.migration.statements[cancelled].line
            said = f"{filename}: the statement at line {line} was cancelled on the server."
        return ended(Reason.STOPPED, said, remains, hint or "What is still to be done can be pushed again.")

    def check_history(self, versions: tuple[str, ...]) -> None:
        """Raises OpsError(PLAN_CHANGED) when the history is not what the plan was made for."""
        if versions == self.expect_history:
            return
        added = sorted(set(versions) - set(self.expect_history))
        gone = sorted(set(self.expect_history) - set(versions))
        changes = " and ".join(
            f"{', '.join(changed)} {words}" for changed, words in ((added, "was added"), (gone, "is gone")) if changed
        )
        raise OpsError(
            Reason.PLAN_CHANGED,
            f"The target's history changed before {self.migration.filename}: {changes or 'its order'}.",
            "Somebody else migrates this target too; make a new plan.",
            exit_code=3,
            details={"changed": ["the target's migration history"]},
        )


def ended(
    reason: Reason,
    message: str,
    remains: str,
    hint: str = "",
    *,
    exit_code: int = 1,
    details: Mapping[str, Any] | None = None,
) -> OpsError:
    """How a file ended that did not succeed. `remains` says what of it is on the target, and is empty for nothing.

    It is in the sentence for people, and in `details["remains"]` for the run.
    """
    said = f"{message} {remains or NOTHING_REMAINS}"
    return OpsError(reason, said, hint, exit_code=exit_code, details={**(details or {}), "remains": remains})
