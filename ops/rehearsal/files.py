"""Running the pending files on a copy as the real run will, by the same code, and what becomes of them there."""

import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import closing
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any
from typing import Protocol

import psycopg
from pglast import ast

from ops import grammar
from ops.apply import apply_migration
from ops.apply_journal import NOTHING_REMAINS
from ops.apply_journal import CommitIntent
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Patience
from ops.apply_session import Session
from ops.apply_session import Sessions
from ops.batch_log import BatchIntent
from ops.batch_log import Begun
from ops.blockers import Blocker
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.history import read_versions
from ops.history import versions_after
from ops.masking import printable
from ops.migration import Migration
from ops.migration import Statement
from ops.progress import Told
from ops.rehearsal.covering import Covering
from ops.rehearsal.fence import Fence
from ops.rehearsal.platform import REFUSED
from ops.rehearsal.platform import Platform
from ops.rehearsal.platform import notice_memberships
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.unseen import is_used
from ops.scratch import Limits
from ops.sql_errors import describe
from ops.sql_errors import is_raised

# Nobody else is there, so who holds a lock is the file itself, in another session: that does not get better.
_PATIENCE = Patience(seconds=3.0, lock_timeout_seconds=1.0, once_lock_timeout_seconds=2.0, first_pause_seconds=0.5)
_AS_GOOD_IN_A_TRANSACTION = (
    *(ast.AlterTableStmt, ast.CreateStmt, ast.IndexStmt, ast.DropStmt, ast.RenameStmt, ast.CreateTableAsStmt),
    *(ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.TruncateStmt, ast.RefreshMatViewStmt),
)
_EXTENSION_REFUSED = ("42501", "0A000", "58P01", "22023", "42704")


class Place(Protocol):
    """Where files are run: a copy of the target, which is thrown away."""

    @property
    def stand_ins(self) -> Sequence[str]: ...

    def connect(self) -> Connection: ...

    def ask(self) -> Connection: ...

    @property
    def platform(self) -> Platform: ...

    def lend_rights(self, table: tuple[str, str]) -> AbstractContextManager[None]: ...

    def offer_extension(self, name: str) -> None: ...

    def create_extension(self, name: str, schema: str | None, cascade: bool) -> None: ...


class Looking(Protocol):
    """What is looked at while files run; see `ops.rehearsal.trace.Tracer`, which looks at everything."""

    def begin(self, connection: Connection) -> None: ...

    def look(self, connection: Connection, statement: Statement, index: int, seconds: float) -> StatementFacts: ...

    def lasting(self, found: Iterable[StatementFacts]) -> list[StatementFacts]: ...

    def alone(
        self, connection: Connection, send: Callable[[], object]
    ) -> Callable[[Statement, int, float], StatementFacts]: ...


def run_files(
    place: Place,
    tracer: Looking,
    pending: Sequence[Migration],
    *,
    limits: Limits,
    refused_extensions: frozenset[str] = frozenset(),
    covering: Covering | None = None,
    progress: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[tuple[FileFacts, ...]], None] = lambda _: None,
) -> tuple[FileFacts, ...]:
    """What each file did, in order; behind one that failed, nothing runs. Raises OpsError(STOPPED) when `stop` says so,
    REHEARSAL_IMPOSSIBLE where a copy cannot show what the target would do, and what `place` raises. The history table
    must be there. `refused_extensions` are those that the target cannot create, whatever there is here. `covering`: the
    copy has rows, which no error may tell. `told` gets what is known behind each file, should there be no end."""
    found: list[FileFacts] = []
    with closing(place.connect()) as connection:
        versions = read_versions(connection)
    sessions = Sessions()
    with Fence(place.ask, limits, stop) as fence, Guard(place.connect, "the copy") as guard:
        try:
            for number, migration in enumerate(pending):
                words = f"rehearsal: {number + 1} of {len(pending)}, {migration.filename}"
                progress(Told(words, step="rehearsal", share=number / len(pending)))
                found.append(
                    _OneFile(place, tracer, fence, migration, refused_extensions, covering).run(
                        guard, sessions, versions
                    )
                )
                told((*found, *_not_run(pending[len(found) :])))
                if found[-1].outcome != "passed":
                    break
                versions = versions_after(versions, migration)
        finally:
            sessions.close()
    return (*found, *_not_run(pending[len(found) :]))


def _not_run(files: Iterable[Migration]) -> Iterable[FileFacts]:
    return (FileFacts(one.version, one.filename, "not_run", 0.0, None) for one in files)


class _OneFile:
    """One file on its way: what its statements did so far, and which one is running."""

    def __init__(
        self,
        place: Place,
        tracer: Looking,
        fence: Fence,
        migration: Migration,
        refused_extensions: frozenset[str],
        covering: Covering | None,
    ) -> None:
        self.place = place
        self.tracer = tracer
        self.fence = fence
        self.migration = migration
        self.refused_extensions = refused_extensions
        self.covering = covering
        self._facts: list[StatementFacts] = []
        self._running: int | None = None
        self._segment: int | None = None
        self._stood_in: list[str] = []
        self._is_raised = True  # unless the server is seen to have said something of its own: at COMMIT nobody looks
        self._refused = ""
        self._began = time.monotonic()
        self._segment_of = {
            index: number for number, segment in enumerate(migration.segments) for index in segment.statements
        }

    def run(self, guard: Guard, sessions: Sessions, versions: Sequence[str]) -> FileFacts:
        """Raises OpsError(STOPPED) when somebody said stop."""
        try:
            applied = apply_migration(
                self.migration,
                connect=self.place.connect,
                guard=guard,
                patience=_PATIENCE,
                journal=_NoJournal(),
                stop=self.fence.is_over,
                expect_history=versions,
                sessions=sessions,
                carry_out=self._carry_out,
                batches_together=True,
            )
        except OpsError as error:
            if self.fence.is_stopped:
                raise OpsError(
                    Reason.STOPPED, "The rehearsal was stopped.", "Nothing has touched the target."
                ) from None
            if error.reason in (Reason.TOOLS_MISSING, Reason.REHEARSAL_IMPOSSIBLE):  # the copy's fault, not the file's
                raise
            found = self._error(error)
            if self.place.platform.cannot_tell(self._node(), found["sqlstate"], found["message"]):
                raise _only_a_superuser(self.migration.filename, found) from None
            return self._file("failed", None, found)
        except psycopg.Error as error:  # of the tracer's: the cluster is gone
            return self._file("failed", None, self._described(error))
        if any(facts.drops for facts in self._facts):
            self._facts = self.tracer.lasting(self._facts)
        return self._file("passed", applied.catalog_sha256, None)

    def _node(self) -> Any:
        tree = None if self._running is None else self.migration.statements[self._running].tree
        return tree.node if tree else None

    def _file(self, outcome: str, catalog_sha256: str | None, error: dict[str, Any] | None) -> FileFacts:
        return FileFacts(
            version=self.migration.version,
            filename=self.migration.filename,
            outcome=outcome,
            seconds=round(time.monotonic() - self._began, 3),
            catalog_sha256=catalog_sha256,
            statements=tuple(facts for facts in self._facts if _tells(facts)),
            error=error,
            ran=len(self._facts),
        )

    def _carry_out(self, session: Session, index: int, send: Callable[[], object]) -> None:
        connection = session.connection
        statement = self.migration.statements[index]
        segment = self._segment_of[index]
        is_in_transaction = self.migration.segments[segment].transactional
        if is_in_transaction and (segment != self._segment or index <= (self._running or 0)):
            self.tracer.begin(connection)
        self._segment, self._running = segment, index
        node = statement.tree.node if statement.tree else None
        if is_in_transaction:
            send = self._as_the_platform(connection, node, send)

        with self.fence.around(connection.info.backend_pid):
            began = time.monotonic()
            if is_in_transaction:
                self._seen(send)
                seconds = time.monotonic() - began
                if connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
                    return  # the file has ended what is not its own, which is told by whoever began it
                facts = self.tracer.look(connection, statement, index, seconds)
            elif isinstance(node, _AS_GOOD_IN_A_TRANSACTION) and not grammar.must_stand_alone(node):
                facts = self._in_its_own_transaction(connection, statement, index, partial(self._seen, send))
            else:
                look = self.tracer.alone(connection, partial(self._seen, send))
                facts = look(statement, index, time.monotonic() - began)
        self._facts.append(facts)

    def _seen(self, send: Callable[[], object]) -> None:
        try:
            send()
        except psycopg.Error as error:
            self._is_raised = is_raised(error)
            raise

    def _in_its_own_transaction(
        self, connection: Connection, statement: Statement, index: int, send: Callable[[], object]
    ) -> StatementFacts:
        """What the server would do by itself for a statement that is sent alone, so that it can be seen whole."""
        connection.execute("BEGIN")
        try:
            self.tracer.begin(connection)
            began = time.monotonic()
            send()
            facts = self.tracer.look(connection, statement, index, time.monotonic() - began)
            connection.execute("COMMIT")
        except psycopg.Error:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            raise
        return facts

    def _as_the_platform(self, connection: Connection, node: Any, send: Callable[[], object]) -> Callable[[], object]:
        """How a statement is sent that Supabase may carry out though the role itself may not."""
        if isinstance(node, ast.CreateExtensionStmt):
            return lambda: self._create_extension(connection, node, send)
        if self.place.platform.may_help(node):
            return lambda: self._with_lent_rights(connection, node, send)
        return send

    def _with_lent_rights(self, connection: Connection, node: Any, send: Callable[[], object]) -> None:
        connection.execute("SAVEPOINT countersign_platform")
        try:
            send()
        except psycopg.Error as error:
            if error.sqlstate != REFUSED:
                raise
            connection.execute("ROLLBACK TO SAVEPOINT countersign_platform")
            text = self.migration.statements[self._running or 0].text
            table = self.place.platform.table_of(connection, node, text, error.diag.message_primary or "")
            if table is None:
                raise
            with self.place.lend_rights(table):
                notice_memberships(connection)
                send()
            notice_memberships(connection)
        connection.execute("RELEASE SAVEPOINT countersign_platform")

    def _create_extension(self, connection: Connection, node: Any, send: Callable[[], object]) -> None:
        """As the file says it where its role may; else as the platform does it, by somebody who may."""
        if node.extname in self.refused_extensions:
            self._refused = printable(node.extname)
            raise psycopg.errors.FeatureNotSupported(f'extension "{self._refused}" is not available on the target')
        stand_ins = set(self.place.stand_ins)
        self.place.offer_extension(node.extname)
        connection.execute("SAVEPOINT countersign_extension")
        try:
            send()
        except psycopg.Error as error:
            if error.sqlstate not in _EXTENSION_REFUSED:
                raise
            connection.execute("ROLLBACK TO SAVEPOINT countersign_extension")
            options = {option.defname: option.arg for option in node.options or ()}
            schema = options["schema"].sval if "schema" in options else None
            try:
                self.place.create_extension(node.extname, schema, "cascade" in options)
            except psycopg.errors.InvalidSchemaName:
                raise _made_in_the_same_file(node.extname, schema or "") from None
        self._stood_in += sorted(set(self.place.stand_ins) - stand_ins)
        connection.execute("RELEASE SAVEPOINT countersign_extension")

    def _error(self, error: OpsError) -> dict[str, Any]:
        """Why the file failed, as the server's error of the statement that ran."""
        found = error.details.get("sql")
        if self.fence.ended_because:
            found = self._described(psycopg.errors.QueryCanceled(self.fence.ended_because))
        elif not isinstance(found, dict):
            remains = str(error.details.get("remains") or NOTHING_REMAINS)
            found = self._described(psycopg.OperationalError(error.message.removesuffix(remains).strip()))
        elif self.covering is not None:
            found = self.covering.error(found, is_raised=self._is_raised)
        text = "" if self._running is None else self.migration.statements[self._running].text
        stood_in = [name for name in self.place.stand_ins if name in self._stood_in or is_used(name, text)]
        if stood_in:
            names = ", ".join(stood_in)
            about = f"Only the outside of {names} was there; on the target this may go well."
            found = {**found, "about_copy": about}
        if self._refused:
            found = {**found, "to_mend": f"Have the target's server offer {self._refused} first, or leave it out."}
        return found

    def _described(self, error: psycopg.Error) -> dict[str, Any]:
        return asdict(describe(error, self.migration, self._running))


def extensions_of(pending: Sequence[Migration]) -> frozenset[str]:
    """The extensions that these files create."""
    nodes = (statement.tree.node for one in pending for statement in one.statements if statement.tree)
    return frozenset(str(node.extname) for node in nodes if isinstance(node, ast.CreateExtensionStmt))


def _made_in_the_same_file(extension: str, schema: str) -> OpsError:
    """Who may create an extension on a copy is in another session, which does not see what a file has not committed."""
    return OpsError(
        Reason.TOOLS_MISSING,
        f"On a copy {printable(extension)} cannot be created in {printable(schema)}, which the same file makes.",
        "Make the schema in a file of its own, before.",
    )


def _only_a_superuser(filename: str, error: Mapping[str, Any]) -> OpsError:
    line = f", line {error['line']}" if error["line"] else ""
    return OpsError(
        Reason.REHEARSAL_IMPOSSIBLE,
        f"{filename}{line}: {error['message'].rstrip('.')}. On Supabase this may be allowed; a copy cannot show it.",
        "Put it into a plan of its own, so that the rest can be rehearsed.",
    )


def _tells(facts: StatementFacts) -> bool:
    return bool(facts.locks or facts.rewrites or facts.rows or facts.drops)


class _NoJournal:
    """A copy that is thrown away needs no record of what was about to be done to it."""

    def statement_intended(self, intent: Intent) -> None: ...

    def commit_intended(self, commit: CommitIntent, following: Intent | None) -> None: ...

    def catch_up(self) -> None: ...

    def batch_intended(self, batch: BatchIntent) -> Callable[[], None]:
        return lambda: None

    def batches_begun(self, migration: Migration) -> Begun | None:
        return None

    def place_secret(self) -> bytes:
        raise NotImplementedError  # on a copy nothing is gone on with

    def segment_finished(self, finished: Finished) -> None: ...

    def file_applied(self, version: str, catalog_sha256: str, seconds: float) -> None: ...

    def waiting(self, version: str, blockers: tuple[Blocker, ...]) -> None: ...

    def cleaning(self, intent: Intent, indexes: tuple[str, ...]) -> None: ...

    def progressed(self, version: str, words: str, share: float | None) -> None: ...
