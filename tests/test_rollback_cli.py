"""The real Supabase CLI beside undoing: what it makes of a reverse script, and of a history that a file has left again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_supabase_cli import supabase

from sandbox.stage import Stage

CLI = os.environ.get("COUNTERSIGN_TEST_SUPABASE", "")
FILE = "20260101000001_add_notes.sql"
DOWN = "20260101000001_add_notes.down.sql"

pytestmark = pytest.mark.skipif(
    not CLI or not Path(CLI).exists(), reason="the Supabase CLI is not here; .ci/run installs it"
)


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    made = make_stage(prod='approvals = 0\nbackup = "none"\n', empty=True)
    made.migration(FILE, "create table public.notes (id int primary key);\n")
    return made


def test_the_cli_runs_a_reverse_script_that_lies_among_the_migrations_and_leaves_one_in_rollbacks_alone(
    stage: Stage,
) -> None:
    stage.commit({f"supabase/rollbacks/{DOWN}": "drop table public.notes;\n"}, "Down")
    dry = supabase(stage, "prod", "db", "push", "--dry-run")
    assert (FILE in dry.stderr + dry.stdout, DOWN in dry.stderr + dry.stdout) == (True, False)

    stage.commit({f"supabase/migrations/{DOWN}": "drop table public.notes;\n"}, "Down, in the wrong place")
    dry = supabase(stage, "prod", "db", "push", "--dry-run")
    said = dry.stderr + dry.stdout
    assert 0 < said.index(DOWN) < said.index(FILE)  # and before its own migration
    assert "Supabase CLI takes it for a migration" in stage.cli("plan", "prod", "--json").json["skipped"][DOWN]


def test_what_we_undid_the_cli_applies_again(stage: Stage) -> None:
    assert stage.cli("push", "prod", "--json").json["status"] == "succeeded"
    assert stage.cli("rollback", "R-1", "--with", "inverse", "--json").json["status"] == "succeeded"

    pushed = supabase(stage, "prod", "db", "push")

    assert pushed.returncode == 0, pushed.stderr
    assert stage.sql("prod", "select version, name from supabase_migrations.schema_migrations") == [
        (FILE[:14], "add_notes")
    ]
    assert stage.sql("prod", "select to_regclass('public.notes') is not null") == [(True,)]
