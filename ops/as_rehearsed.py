"""Whether a file does on the target what it did on the copy: asked before its COMMIT, or behind what has none."""

from functools import partial

from ops.apply_journal import ended
from ops.errors import OpsError
from ops.errors import Reason
from ops.migrations import Migration
from ops.requests import Request


class AsRehearsed:
    """Compares the schema that each file leaves with the one that people saw.

    Where the policy requires a rehearsal, and of a rollback always, a difference ends the run (NOT_AS_REHEARSED); where
    it is only shown, the files that differ are in `differing`, by name.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        # Undoing was offered because a copy showed exactly this, whatever the policy says of pushes.
        self._is_required = request.plan["policy"].get("rehearsal") == "required" or request.kind == "rollback"
        self.differing: list[str] = []

    def before_commit(self, migration: Migration) -> "partial[None]":
        """What to call with the catalog hash of a file that is one transaction; nothing of it remains when it raises."""
        return partial(self._compare, migration, "")

    def behind(self, migration: Migration, catalog_sha256: str) -> None:
        """The same for a file that is not one transaction, which stays as it is."""
        if not migration.is_one_transaction:
            self._compare(migration, "It is on the target with its history row, and stays.", catalog_sha256)

    def said(self) -> str:
        """The differences that did not end the run, as a sentence; empty where there are none."""
        if not self.differing:
            return ""
        return f"{', '.join(self.differing)} did something else than on the copy"

    def _compare(self, migration: Migration, remains: str, catalog_sha256: str) -> None:
        expected = self._request.expected.get(migration.version, catalog_sha256)
        if catalog_sha256 == expected:
            return
        if self._is_required:
            raise self._error(migration, remains, expected, catalog_sha256)
        if migration.filename not in self.differing:  # it may be tried again for want of a lock
            self.differing.append(migration.filename)

    def _error(self, migration: Migration, remains: str, expected: str, found: str) -> OpsError:
        return ended(
            Reason.NOT_AS_REHEARSED,
            f"{migration.filename} did something else on {self._request.target} than on the copy: the schema behind it "
            "is not the one that was rehearsed.",
            remains,
            "Look for what depends on rows, on the time or on settings, such as a DO block with a condition. "
            f"{self._again()}",
            details={"file": migration.filename, "expected_catalog": expected, "found_catalog": found},
        )

    def _again(self) -> str:
        if self._request.kind == "rollback":
            return f"Look which ways there are now: `rollback {self._request.of}`."
        return f"Ask again with the rows on the copy: `push {self._request.environment} --with-data`."
