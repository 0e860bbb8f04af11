"""Signs that a target can be changed past us, and what doctor says about them."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from people_talk import rules
from people_talk import small

from ops.direct_way import JOB_FILES
from ops.direct_way import signs_in_database
from ops.direct_way import signs_in_jobs
from ops.job_files import read_job_files
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from tests.git_origin import make_origin
from tests.git_origin import make_repository
from tests.postgres_fixtures import run_sql


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("      run: supabase db push --yes", "runs `supabase db push`"),
        ("run: npx supabase  functions deploy hello", "runs `supabase functions deploy`"),
        ("- supabase --debug migration repair --status applied 1", "migration repair"),
        ("  SUPABASE_DB_PASSWORD: ${{ secrets.SUPABASE_DB_PASSWORD }}", "holds SUPABASE_DB_PASSWORD"),
        ("  SUPABASE_ACCESS_TOKEN: ${{ secrets.TOKEN }}", "holds SUPABASE_ACCESS_TOKEN"),
    ],
)
def test_a_job_that_can_deploy_is_a_sign(line: str, word: str) -> None:
    (sign,) = signs_in_jobs({".github/workflows/deploy.yml": f"on: push\n{line}\n".encode()})
    assert sign.where == ".github/workflows/deploy.yml:2"
    assert word in sign.found


@pytest.mark.parametrize(
    "line",
    ["# supabase db push", "run: countersign lint supabase/migrations", "run: supabase start", "run: supabase db lint"],
)
def test_a_job_that_cannot_is_none(line: str) -> None:
    assert list(signs_in_jobs({"ci.yml": line.encode()})) == []


def test_many_lines_of_one_job_are_told_shortly() -> None:
    found = list(signs_in_jobs({"ci.yml": b"supabase db push\n" * 50}))
    assert len(found) == 6
    assert found[-1].found == "and more lines like these"


def test_a_hostile_line_is_not_looked_through_to_its_end() -> None:
    """Half a megabyte of this took hours."""
    assert list(signs_in_jobs({"ci.yml": b"supabase " + b"--supabase " * 50_000})) == []


def test_jobs_are_read_at_the_commit_without_links_and_folders(tmp_path: Path) -> None:
    origin = make_origin(tmp_path)
    folder = origin.folder / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "link.yml").symlink_to("/etc/passwd")
    commit = origin.commit(
        {
            ".github/workflows/deploy.yml": "supabase db push\n",
            ".github/workflows/inner/deep.yml": "supabase db push\n",
            ".gitlab-ci.yml": "x" * 600_000,
        }
    )
    repository = make_repository(origin, tmp_path)
    assert read_job_files(repository, commit, JOB_FILES) == {".github/workflows/deploy.yml": b"supabase db push\n"}


def test_the_database_shows_other_ways_in(local_postgres: LocalPostgres, database: str) -> None:
    name = database.rpartition("/")[2].partition("?")[0]
    run_sql(local_postgres, name, "CREATE ROLE cli_login_test_direct; CREATE ROLE deployer_direct LOGIN")
    try:
        run_sql(local_postgres, name, "GRANT CREATE ON SCHEMA public TO deployer_direct")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS supabase_migrations")
            connection.execute(
                "CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, created_by text)"
            )
            connection.execute("INSERT INTO supabase_migrations.schema_migrations VALUES ('1', 'ana'), ('2', NULL)")
            found = [sign.found for sign in signs_in_database(connection)]
    finally:
        run_sql(local_postgres, name, "DROP OWNED BY deployer_direct; DROP ROLE cli_login_test_direct, deployer_direct")
    assert [one for one in found if "cli_login_test_direct" in one]
    assert [one for one in found if "Supabase's API or an assistant came 1" in one]
    assert [one for one in found if "deployer_direct" in one]


def test_an_ordinary_project_shows_none(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        assert [sign.found for sign in signs_in_database(connection)] == []


def test_doctor_warns_of_a_job_and_of_changes_that_nobody_asked_for(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, prod=rules(1, 'drift_check = "1h"'), start=False)
    stage.commit(
        {".github/workflows/deploy.yml": "on: push\njobs:\n  a:\n    steps:\n      - run: supabase db push --yes\n"}
    )
    stage.cli("plan", "prod")
    stage.sql("prod", "create table public.by_hand (id int)")
    stage.cli("plan", "prod")

    checks = stage.cli("doctor", "--json").json["checks"]

    found = [(one["state"], one["found"]) for one in checks if one["what"] == "shop/prod direct way"]
    assert (
        "warning",
        ".github/workflows/deploy.yml:5: a job runs `supabase db push`: it needs no approval of ours",
    ) in found
    assert [words for _, words in found if words.startswith("log: changed outside of Countersign once in 30 days")]
    assert [words for _, words in found if "docs/direct-way.md" in words]
    assert not [one for one in checks if one["what"] == "shop/dev direct way"]  # nobody approves there anyway
