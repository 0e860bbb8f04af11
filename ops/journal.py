"""The journal of applying a file, kept in the audit log: every entry is durable when the call returns."""

import time
from collections.abc import Callable

from ops.apply_journal import CommitIntent
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.batch_log import BATCH_SENT
from ops.batch_log import BatchIntent
from ops.batch_log import Begun
from ops.batch_log import begun
from ops.batch_place import secret_in
from ops.blockers import Blocker
from ops.migration import Effect
from ops.migrations import Migration
from ops.progress import Told
from ops.steps import Recorder

APPLIED = {
    Effect.ADDS: "migration_applied",
    Effect.REMOVES: "migration_undone",
    Effect.WRITES: "history_repaired",
    Effect.KEEPS: "script_run",
}
"""The kind of event that says of a file, by what it does to its history row, that all of it is committed."""


NOTED_EVERY_SECONDS = 5.0
"""How far a statement is is told more often than it is kept: an event stays for ever, and a card is updated for each."""


class LogJournal:
    """Writes what happens to one file into the request's stream."""

    def __init__(self, recorder: Recorder, migration: Migration) -> None:
        self._recorder = recorder
        self._migration = migration
        self._noted_at = float("-inf")

    def statement_intended(self, intent: Intent) -> None:
        self._recorder.record("statement_sent", _intent_data(intent))

    def commit_intended(self, commit: CommitIntent, following: Intent | None) -> None:
        if following is not None:
            self._recorder.record_later("statement_sent", _intent_data(following))
        self._recorder.record(
            "commit_sent",
            {
                "version": commit.version,
                "segment": commit.segment,
                "xid": commit.xid,
                "catalog_sha256": commit.catalog_sha256,
            },
        )

    def catch_up(self) -> None:
        self._recorder.catch_up()

    def batch_intended(self, batch: BatchIntent) -> Callable[[], None]:
        return self._recorder.begin(BATCH_SENT, batch.to_json())

    def batches_begun(self, migration: Migration) -> Begun | None:
        request = self._recorder.request
        return begun(
            self._recorder.ops.view,
            project=request.project,
            environment=request.environment,
            version=migration.version,
        )

    def place_secret(self) -> bytes:
        settings = self._recorder.ops.settings
        return secret_in(settings.path(settings.state.path).parent)

    def segment_finished(self, finished: Finished) -> None:
        # That a file is done is told by its history row too, so a crash before the next event loses nothing.
        is_told = self._migration.is_one_transaction and finished.outcome is Outcome.DONE
        (self._recorder.record_later if is_told else self._recorder.record)(
            "statement_finished",
            {
                "version": finished.version,
                "segment": finished.segment,
                "statements": list(finished.statements),
                "outcome": finished.outcome.value,
                "seconds": finished.seconds,
                "detail": finished.detail,
                "each_seconds": list(finished.each_seconds),
                "batches": finished.batches,
            },
        )

    def file_applied(self, version: str, catalog_sha256: str, seconds: float) -> None:
        self._recorder.record_later(
            APPLIED[self._migration.effect], applied_data(self._migration, catalog_sha256, seconds)
        )

    def cleaning(self, intent: Intent, indexes: tuple[str, ...]) -> None:
        about = {"version": intent.version, "segment": intent.segment, "statements": list(intent.statements)}
        self._recorder.record("cleanup_sent", {**about, "indexes": list(indexes)})

    def progressed(self, version: str, words: str, share: float | None) -> None:
        self._recorder.progress(Told(words, step="migrate", share=share))
        if time.monotonic() - self._noted_at >= NOTED_EVERY_SECONDS:
            self._noted_at = time.monotonic()
            self._recorder.note("progressed", {"version": version, "said": words, "share": share})

    def waiting(self, version: str, blockers: tuple[Blocker, ...]) -> None:
        self._recorder.progress(f"waiting for a lock: {'; '.join(map(str, blockers)) or 'nobody to be seen'}")
        data = {"version": version, "blockers": [blocker.to_json() for blocker in blockers]}
        self._recorder.record("lock_waited", data)


def _intent_data(intent: Intent) -> dict[str, object]:
    return {
        "version": intent.version,
        "segment": intent.segment,
        "statements": list(intent.statements),
        "sha256": intent.sha256,
        "backend_pid": intent.backend_pid,
        "backend_start": intent.backend_start,
        "batches": intent.batches,
    }


def applied_data(migration: Migration, catalog_sha256: str, seconds: float) -> dict[str, object]:
    """The data of `migration_applied`."""
    return {
        "version": migration.version,
        "name": migration.name,
        "sha256": migration.sha256,
        "catalog_sha256": catalog_sha256,
        "statements": len(migration.statements),
        "seconds": round(seconds, 3),
    }
