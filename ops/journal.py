"""The journal of applying a file, kept in the audit log: every entry is durable when the call returns."""

from collections.abc import Callable

from ops.apply_journal import CommitIntent
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.blockers import Blocker
from ops.migrations import Migration
from ops.steps import Recorder


class LogJournal:
    """Writes what happens to one file into the request's stream."""

    def __init__(self, recorder: Recorder, migration: Migration) -> None:
        self._recorder = recorder
        self._migration = migration

    def statement_intended(self, intent: Intent) -> None:
        self._recorder.record("statement_sent", _intent_data(intent))

    def announced(self, intent: Intent) -> Callable[[], None]:
        return self._recorder.begin("statement_sent", _intent_data(intent))

    def commit_intended(self, commit: CommitIntent) -> Callable[[], None]:
        return self._recorder.begin(
            "commit_sent",
            {
                "version": commit.version,
                "segment": commit.segment,
                "xid": commit.xid,
                "catalog_sha256": commit.catalog_sha256,
            },
        )

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
            },
        )

    def file_applied(self, version: str, catalog_sha256: str, seconds: float) -> None:
        self._recorder.record_later("migration_applied", applied_data(self._migration, catalog_sha256, seconds))

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
