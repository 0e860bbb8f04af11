"""Trying a backup that was taken before: restored on a throw-away server of this host and counted. No target is touched."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.backup_about import read_about
from ops.backup_dump import jobs_that_pay
from ops.backup_files import about_file
from ops.backup_opening import opened_archive
from ops.backup_restore import differences
from ops.backup_restore import restore
from ops.backups import Backup
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import may_request_now
from ops.people import Actor
from ops.progress import Told
from ops.rehearsing import isolation_unmet
from ops.targets import target_of
from ops.tools import find_scratch_tools


@dataclass(frozen=True)
class TriedTable:
    """A table of the backup: its rows as they were restored (None: it is not there), and as they were when it was taken."""

    name: str
    rows: int | None
    rows_taken: int


@dataclass(frozen=True)
class Trial:
    """What came of restoring a backup. `problems` are sentences, none where it is as it was; `is_identical`: every row's
    hash was noted when it was taken, and is the same. `expected_errors` are what a throw-away server must refuse."""

    backup: Backup
    tables: tuple[TriedTable, ...]
    expected_errors: tuple[str, ...]
    problems: tuple[str, ...]
    is_identical: bool
    seconds: float


def try_backup(ops: Ops, backup: Backup, actor: Actor, progress: Callable[[str], None]) -> Trial:
    """Restore a backup on a throw-away server, count what is there, and remove it all again.

    Raises OpsError: NOT_ALLOWED for who may not ask on its target, BACKUP_DAMAGED where it is not as the log says,
    TOOLS_MISSING without a server, and what opening raises.
    """
    target = target_of(ops.settings, backup.project, backup.environment)
    may_request_now(ops, target, actor).or_raise()
    unmet = isolation_unmet(target)
    if unmet:
        hint = "`countersign doctor` says what is reached and why."
        raise OpsError(Reason.BACKUP_NOT_PROVEN, f"It cannot be restored as it has to be: {unmet}", hint, exit_code=1)

    def tell(words: str, share: float | None) -> None:
        progress(Told(words, share=share))

    def work() -> Trial:
        began = time.monotonic()
        stop = ops.rehearsals.is_over
        with opened_archive(backup, ops.settings, progress=tell, stop=stop) as archive:
            about = read_about(about_file(archive))
            with_hash = any(content.hash is not None for content in about.contents.values())
            catalog = about.catalog
            names = [extension.name for extension in catalog.extensions]
            version, configured = catalog.server_version, ops.settings.postgres.bin
            restored = restore(
                archive,
                catalog,
                tools=find_scratch_tools(names, minimum=version, configured_bin=configured),
                extension_files=about.extension_files,
                with_hash=with_hash,
                jobs=jobs_that_pay(catalog.database_bytes, len(catalog.tables)),
                progress=tell,
                stop=stop,
            )
        problems = (*restored.problems, *differences(about.contents, restored.contents))
        found = {table: content.rows for table, content in restored.contents.items()}
        tables = tuple(
            TriedTable(str(table), found.get(table), content.rows) for table, content in about.contents.items()
        )
        is_identical = with_hash and not problems
        return Trial(
            backup, tables, restored.expected_errors, problems, is_identical, round(time.monotonic() - began, 3)
        )

    with ops.rehearsals.turn(f"restore {backup.id}", lambda: progress(Told("waits for another one"))):
        return work()
