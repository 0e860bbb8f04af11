"""The target's rows on a copy, from a dump that is taken for it and gone before the first file runs."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from ops.catalog import UNDO_SCHEMA
from ops.errors import OpsError
from ops.errors import Reason
from ops.rehearsal.memory import needed_for_rows
from ops.rehearsal.target_state import Target
from ops.schema.reading import without_tables
from ops.scratch import Limits
from ops.scratch import Scratch
from ops.sql_errors import MASKED
from ops.tools import connection_files
from ops.tools import run_tool

_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_SECONDS = 6 * 3600.0
_MOST_SAID = 5


def scratch_limits(database_bytes: int) -> Limits:
    """For a copy with rows. Its folder is counted with the archive in it."""
    return Limits(
        seconds=_SECONDS, statement_seconds=_SECONDS, disk_bytes=max(2 * 2**30, needed_for_rows(database_bytes))
    )


def restore_rows(
    scratch: Scratch,
    target: Target,
    database_url: str,
    role: str,
    database: str,
    *,
    progress: Callable[[str], None],
    stop: Callable[[], bool],
) -> list[str]:
    """Dump the rows into the cluster's own folder and restore them; sentences about tables that came without theirs."""
    archive = scratch.work / "rows"
    arguments = ["--format=custom", "--data-only", "--compress=1", "--encoding=UTF8", "--no-password"]
    arguments += [f"--role={target.acting}", "--lock-wait-timeout=10s", f"--file={archive}"]
    arguments += without_tables(target.unreadable)
    arguments += [f"--exclude-schema={UNDO_SCHEMA}"]
    with connection_files(database_url) as files:
        dumped = run_tool(
            scratch.tools,
            "pg_dump",
            arguments,
            connection=files,
            timeout_seconds=_SECONDS,
            tick=lambda _: progress(f"reading the rows: {_size(archive)}"),
            stop=stop,
        )
    if dumped.exit_code != 0:
        raise OpsError(
            Reason.TARGET_REFUSED, f"The rows of {target.database} could not be dumped: {_last(dumped.stderr)}"
        )
    if scratch.uid is not None:
        os.chown(archive, scratch.uid, scratch.uid)
    with connection_files(scratch.url(database, role=role), owner=scratch.uid) as files:
        restored = run_tool(
            scratch.tools,
            "pg_restore",
            ["--data-only", "--no-password", "--jobs=2", str(archive)],
            connection=files,
            uid=scratch.uid,
            timeout_seconds=_SECONDS,
            tick=lambda _: progress("restoring the rows"),
            stop=stop,
        )
    archive.unlink()
    errors = [line for line in restored.stderr.splitlines() if "error:" in line]
    said = [_QUOTED.sub(f'"{MASKED}"', line.partition("error:")[2]).strip()[:200] for line in errors]
    notes = [f"The rows are not all on the copy: {one}" for one in said]
    notes += [f"The rows of {schema}.{name} may not be read by the login." for schema, name in target.unreadable]
    return notes[:_MOST_SAID]


def _size(archive: Path) -> str:
    return f"{archive.stat().st_size / 2**20:,.0f} MB" if archive.exists() else "waiting for locks"


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
