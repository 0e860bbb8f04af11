"""The real Supabase CLI reads what we wrote, and we read what it wrote. Needs the CLI: $COUNTERSIGN_TEST_SUPABASE."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.stage import Stage

CLI = os.environ.get("COUNTERSIGN_TEST_SUPABASE", "")
ROWS = "select version, name, statements from supabase_migrations.schema_migrations order by version"
# The CLI has no word for it, but must not be told it: a nested parenthesis, which it cuts in the middle.
EDGES = """\
-- “Quotes”, % and \\ are kept as they are: äöü 😀
create table public.edges (id int primary key, note text default 'a;b');;
create function public.edge() returns int language sql begin atomic select 1; select 2; end;

insert into public.edges values (1, $x$ ; $x$), (2, E'it\\'s; 100%');
-- the end
"""

pytestmark = pytest.mark.skipif(
    not CLI or not Path(CLI).exists(), reason="the Supabase CLI is not here; .ci/run installs it"
)


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """No bot is needed: dev wants no approval. Both databases are empty, so everything is pending."""
    made = make_stage(prod='approvals = 0\nbackup = "none"\n', seeded=False)
    made.migration("20261201000000_edges.sql", EDGES)
    return made


def supabase(stage: Stage, database: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the CLI in the project against one database, as a person in a terminal would."""
    url = stage.postgres.url(stage.databases[database])
    environment = {**stage.environment, "SUPABASE_YES": "1", "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
    return subprocess.run(
        [CLI, *arguments, "--db-url", url],
        cwd=stage.repository,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_after_our_push_the_cli_finds_nothing_to_do(stage: Stage) -> None:
    pushed = stage.cli("push", "dev", "--json")
    assert pushed.json["status"] == "succeeded"

    dry = supabase(stage, "dev", "db", "push", "--dry-run")
    listed = supabase(stage, "dev", "migration", "list")

    assert dry.returncode == 0, dry.stderr
    assert "Would push" not in dry.stderr
    assert listed.returncode == 0, listed.stderr
    versions = [row[0] for row in stage.sql("dev", ROWS)]
    assert len(versions) == 18
    for version in versions:
        assert listed.stdout.count(version) == 2, f"local and remote have {version}"


def test_after_the_clis_push_we_find_nothing_to_do(stage: Stage) -> None:
    pushed = supabase(stage, "prod", "db", "push", "--include-all")
    assert pushed.returncode == 0, pushed.stderr

    answer = stage.cli("push", "prod", "--json")

    assert answer.code == 0
    assert answer.json["status"] == "nothing_to_do"
    assert answer.json["request"] is None
    assert answer.json["history"] == []


def test_our_rows_are_the_clis_rows_byte_for_byte(stage: Stage) -> None:
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    assert supabase(stage, "prod", "db", "push").returncode == 0

    assert stage.sql("dev", ROWS) == stage.sql("prod", ROWS)


def test_plans_say_what_the_cli_will_store(stage: Stage) -> None:
    planned = stage.cli("plan", "prod", "--json").json["pending"]
    assert supabase(stage, "prod", "db", "push").returncode == 0

    stored = [(version, name, statements) for version, name, statements in stage.sql("prod", ROWS)]

    assert stored == [(one["version"], one["name"], one["statements"]) for one in planned]
