"""The prior copies of one run: which of its files have something to copy, and what is done around their statements."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace

import psycopg
from pglast import ast

from ops.apply_journal import CarryOut
from ops.apply_session import Session
from ops.apply_statements import meaning
from ops.errors import OpsError
from ops.migration import Migration
from ops.prior.private import contents_sha256
from ops.prior.sending import NotCopiedError
from ops.prior.sending import Sending
from ops.prior.tables import Kept
from ops.prior.taking import Taking
from ops.prior.taking import Where
from ops.prior.taking import lock_ahead
from ops.prior.touching import Touch
from ops.prior.touching import What
from ops.prior.touching import touches
from ops.requests import Request
from ops.schema.reading import schema_archive
from ops.steps import Recorder
from ops.targets import Target

_MOST_UNSAID = 64 * 2**20
_MOST_OF_A_SCHEMA = 32 * 2**20


class PriorCopies:
    """What a run is about to drop, change or delete, copied in the very transaction that does it.

    To be made before the first file: then the schema's definitions are read, where there will be something to keep.
    """

    def __init__(self, recorder: Recorder, target: Target, files: Sequence[Migration]) -> None:
        self._recorder = recorder
        self._bytes = most_bytes(target)
        self._used: dict[tuple[str, int], int] = {}
        self._touches: dict[str, dict[int, tuple[Touch, ...]]] = {}
        self._schema: tuple[str, bytes] | None = None
        self._definitions: Taking | None = None
        if not self._bytes:
            return
        shown = shown_of(recorder.request)
        for migration in files:
            found = touches(migration, shown.get(migration.version))
            if found:
                self._touches[migration.version] = found
        if self._touches:
            self._schema = _schema_before(recorder, target, files[0].version)

    def around(self, migration: Migration) -> CarryOut | None:
        """What to do around each statement of this file; None for a file that takes nothing away."""
        found = self._touches.get(migration.version)
        if not found:
            return None

        ahead = _ahead(migration, found)

        def carry_out(session: Session, index: int, send: Callable[[], object]) -> None:
            if index in ahead:
                self._begin(session, migration, index, ahead[index])
            if index in found:
                self._with_copies(session, migration, index, found[index], send)
            else:
                send()

        return carry_out

    def _begin(self, session: Session, migration: Migration, index: int, touches: Sequence[Touch]) -> None:
        """Before the first statement of a transaction, which has no lock yet that somebody may wait for: what takes time."""
        version, line = migration.version, migration.statements[index].word_line
        # What was copied in it was rolled back, if there is anything: it is tried again.
        self._used = {place: size for place, size in self._used.items() if place < (version, index)}
        self._definitions = Taking(
            session.connection, Where(self._recorder.request.id, version, index, line, self._bytes), session.watch
        )
        if self._schema is not None and not self._used:
            self._definitions.keep_schema(self._schema[1], self._schema[0])
        lock_ahead(session.connection, session.watch, touches)

    def _with_copies(
        self,
        session: Session,
        migration: Migration,
        index: int,
        found: Sequence[Touch],
        send: Callable[[], object],
    ) -> None:
        version, line = migration.version, migration.statements[index].word_line
        left = self._bytes - sum(self._used.values())
        where = Where(self._recorder.request.id, version, index, line, left)
        taking = Taking(session.connection, where, session.watch)
        definitions, self._definitions = self._definitions, None
        if definitions is not None:  # told with the first copies
            taking.kept += definitions.kept
            taking.left_out += definitions.left_out
        for touch in found:
            taking.before(touch)
        sent = send()
        taking.after(sent.rowcount if isinstance(sent, psycopg.Cursor) else None)
        kept = _hashed(session, taking)
        self._used[version, index] = sum(one.bytes for one in kept if one.what != "schema")
        # It goes into the log with the next event, which is the COMMIT's at the latest.
        data = {
            "version": version,
            "statement": index,
            "line": line,
            "copies": [one.to_json() for one in kept],
            "left_out": taking.left_out,
        }
        self._recorder.record_later("prior_copied", data)


def _hashed(session: Session, taking: Taking) -> list[Kept]:
    """The copies with a hash of each, so that an undo puts back nothing else. One without closes that way."""
    sending, found = Sending(session.connection, session.watch), []
    for one in taking.kept:
        try:
            with sending.all_or_nothing(), sending.watched():
                found.append(replace(one, sha256=contents_sha256(session.connection, one.table)))
        except NotCopiedError as error:
            taking.left_out.append(f"There is no hash of what was kept of {one.name or 'the definitions'}: {error}.")
            found.append(one)
    return found


def _ahead(migration: Migration, found: Mapping[int, Sequence[Touch]]) -> dict[int, list[Touch]]:
    """The first statements of the transactions in which something is copied, and the tables that had better be locked there;
    none in a file that sets something, since the names of tables may mean others then."""
    sets = any(one.tree and isinstance(one.tree.node, ast.VariableSetStmt) for one in migration.statements)
    ahead = {}
    for segment in migration.segments:
        sent = [index for index in segment.statements if not meaning(migration.statements[index]).steers]
        touches = [one for index in sent for one in found.get(index, ())]
        if segment.transactional and touches:
            ahead[sent[0]] = [one for one in touches if one.what in (What.TABLE, What.COLUMN) and not sets]
    return ahead


def most_bytes(target: Target) -> int:
    """How much one run may copy on a target: as its configuration says, else 64 MB where people approve, and nothing where
    nobody does."""
    said = target.settings.prior_copy
    return said if said is not None else _MOST_UNSAID if target.settings.asks_people else 0


def shown_of(request: Request) -> dict[str, dict[str, object]]:
    """What the rehearsal of a request showed of its files, as JSON by version."""
    return {one["version"]: one for one in (request.rehearsal or {}).get("files", ())}


def _schema_before(recorder: Recorder, target: Target, version: str) -> tuple[str, bytes] | None:
    """The definitions of everything, before the file of this version; None where they could not be read, which keeps
    nobody from running it."""
    try:
        archive = schema_archive(target.database_url(), stop=recorder.stop)
    except OpsError as error:
        recorder.progress(f"the schema is not kept for an undo: {error.message}")
        return None
    return (version, archive) if len(archive) <= _MOST_OF_A_SCHEMA else None
