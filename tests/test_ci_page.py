"""docs/ci.md: the commands, the role and the configuration that it shows are tried."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from postgres_fixtures import run_sql
from psycopg.conninfo import conninfo_to_dict

from sandbox.postgres import LocalPostgres

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "sandbox" / "project"
GOOD = "create table public.notes (id int primary key);\nalter table public.notes enable row level security;\n"


def _blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("script", _blocks("sh"), ids=lambda script: str(script).splitlines()[0][:60])
def test_shell_commands_of_the_page_about_ci_run(script: str, tmp_path: Path) -> None:
    """On a clone of the example project whose branch adds a migration, with nothing else there."""
    project = tmp_path / "shop"
    shutil.copytree(PROJECT, project)
    git = ["git", "-c", "user.name=Ana", "-c", "user.email=ana@acme.example", "-C", str(project)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for name, text in (("first", None), ("second", GOOD)):
        if text:
            (project / "supabase" / "migrations" / "20261201000000_notes.sql").write_text(text)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", name], check=True)
    subprocess.run([*git, "update-ref", "refs/remotes/origin/main", "HEAD~1"], check=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (
        ("countersign", f'PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m countersign "$@"'),
        ("gh", f'cat "${{@: -1}}" > {shlex.quote(str(tmp_path / "posted.md"))}'),
    ):
        (programs / name).write_text(f"#!/bin/bash\n{command}\n")
        (programs / name).chmod(0o755)

    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=project,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "PULL_REQUEST": "7"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    if "gh pr comment" in script:
        assert (tmp_path / "posted.md").read_text().startswith("## 1 migration: ")


def test_jobs_of_the_page_about_ci_hold_no_key_to_a_database() -> None:
    jobs = _blocks("yaml")

    assert len(jobs) >= 2
    for job in jobs:
        assert not re.search("DATABASE_URL|SERVICE_ROLE|SUPABASE_ACCESS_TOKEN|SLACK_|contents: write", job)
        assert "countersign lint" in job


def test_plan_of_the_page_about_ci_is_made_by_a_login_that_can_only_read(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    """The page's role, configuration and commands; and the push that somebody might try there."""
    [role], [configuration], [script] = _blocks("sql"), _blocks("toml"), _blocks("bash")
    name = str(conninfo_to_dict(database)["dbname"])
    project = tmp_path / "shop"
    shutil.copytree(PROJECT, project)
    git = ["git", "-c", "user.name=Ana", "-c", "user.email=ana@acme.example", "-C", str(project)]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "All of it"]):
        subprocess.run([*git, *words], check=True)
    (project / "countersign.ci.toml").write_text(configuration)
    run_sql(local_postgres, name, role.replace("'…'", f"'{local_postgres.password}'"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "SHOP_PROD_READER_URL": local_postgres.url(name, "plan_reader"),
    }
    command = f'countersign() {{ {shlex.quote(sys.executable)} -m countersign "$@"; }}\n'
    push = "countersign --config countersign.ci.toml push prod --json"

    def run(script: str) -> "subprocess.CompletedProcess[str]":
        words = ["bash", "-euo", "pipefail", "-c", command + script]
        return subprocess.run(
            words, cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    try:
        planned = run(script)
        pushed = run(push)
        (project / "countersign.ci.toml").write_text(
            configuration.replace("approvals = 1 ", "approvals = 0 ").replace('approvers = ["U0NOBODY"]', "")
        )
        forced = run(push)

        assert planned.returncode == 0, planned.stdout + planned.stderr
        assert (project / "plan.md").read_text().startswith("## Plan for shop/prod: 17 migrations pending")
        assert json.loads(pushed.stdout)["status"] == "waiting"
        assert (forced.returncode, json.loads(forced.stdout)["ok"]) == (1, False)
        with psycopg.connect(database) as connection:
            left = connection.execute("select to_regclass('public.orders'), to_regnamespace('supabase_migrations')")
            assert left.fetchone() == (None, None)
    finally:
        run_sql(local_postgres, name, "drop role if exists plan_reader")
