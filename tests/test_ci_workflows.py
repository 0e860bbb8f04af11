"""The example workflows: what their steps run is run here, by bash, against a real bot, from commit to production."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ci_support import WORKFLOWS
from ci_support import listening
from ci_support import run_steps
from ci_support import steps
from ci_support import workflow
from people_talk import approve
from people_talk import card
from people_talk import rules
from people_talk import wait_for

from ops.settings import load_settings
from sandbox.github import FakeGithub
from sandbox.postgres import LocalPostgres
from sandbox.stage import Ran
from sandbox.stage import Stage
from sandbox.stage import git

ASK = {"dev", "production"}
"""The workflows that speak to the bot."""


@dataclass
class Desk:
    stage: Stage
    github: FakeGithub
    url: str
    runner: Path

    def run(self, name: str, job: str, branch: str, wait: str = "") -> Ran:
        """A job of a workflow, for the newest commit of a branch."""
        sha = git(self.stage.repository, "rev-parse", branch)
        file = f"acme/shop/.github/workflows/{name}.yml@refs/heads/{branch}"
        proves = self.github.environment(sha, ref=f"refs/heads/{branch}", job_workflow_ref=file)
        return run_steps(name, job, self.runner, proves, {"vars.COUNTERSIGN_URL": self.url}, wait)

    def clone(self, folder: str, branch: str) -> Path:
        path = self.runner / folder
        git(self.runner, "clone", "--quiet", "--branch", branch, str(self.stage.repository), str(path))
        return path


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    stages: list[Stage] = []

    def make(**settings: Any) -> Stage:
        stages.append(Stage(postgres=local_postgres, rate_limits=False, **settings))
        return stages[-1].__enter__()

    with FakeGithub() as github:
        try:
            stage, url = listening(make, github, rules(1, 'after = ["dev"]'))
            yield Desk(stage, github, url, tmp_path_factory.mktemp("runner"))
        finally:
            for one in stages:
                one.close()


def test_from_develop_to_production(desk: Desk) -> None:
    """dev deploys, promote moves main, production plans, asks and waits; a person approves."""
    stage = desk.stage
    main = git(stage.repository, "rev-parse", "main")
    stage.migration("20260101000002_orders.sql", "create table public.orders (id int primary key);\n")
    git(stage.repository, "reset", "--quiet", "--hard", main)  # develop is ahead of main now
    git(stage.repository, "config", "receive.denyCurrentBranch", "ignore")

    dev = desk.run("dev", "deploy", "develop")
    promoted = run_steps("promote", "promote", desk.clone("promoting", "develop"), {}, {})
    planned = desk.run("production", "plan", "main")
    nobody = desk.run("production", "deploy", "main", wait="1s")
    ended: list[Ran] = []
    job = threading.Thread(target=lambda: ended.append(desk.run("production", "deploy", "main")))
    job.start()
    number = stage.events("requested")[-1].request or ""
    card(stage, f"{number} · ")
    wait_for(lambda: sum(one.kind == "ci_admitted" for one in stage.events()) >= 6)  # the last job waits too
    approve(stage, "U0BEN", about=number)
    job.join(90)

    assert dev.code == 0, dev.err
    assert stage.sql("dev", "select to_regclass('public.orders') is not null") == [(True,)]
    assert promoted.code == 0, promoted.err
    assert git(stage.repository, "rev-parse", "main") == git(stage.repository, "rev-parse", "develop")
    assert planned.code == 0, planned.err
    assert "20260101000002_orders.sql" in (desk.runner / "summary.md").read_text()
    assert (nobody.code, "Nobody has approved yet" in nobody.out) == (0, True), nobody.err
    assert ended[0].code == 0, ended[0].err
    assert stage.sql("prod", "select to_regclass('public.orders') is not null") == [(True,)]


def test_the_check_fails_for_what_is_dangerous_alone(desk: Desk) -> None:
    folder = desk.clone("checking", "main")
    git(folder, "checkout", "--quiet", "-b", "feature")

    def check(name: str, sql: str) -> Ran:
        (folder / "supabase" / "migrations" / name).write_text(sql)
        git(folder, "add", "--all")
        git(folder, "-c", "user.name=Mia", "-c", "user.email=mia@acme.example", "commit", "--quiet", "-m", "Add")
        return run_steps("check", "lint", folder, {}, {"github.base_ref": "main"})

    fine = check(
        "20260102000001_fine.sql",
        "create table public.fine (id int primary key);\nalter table public.fine enable row level security;\n",
    )
    bad = check("20260102000002_bad.sql", "drop table public.notes;\n")

    assert fine.code == 0, fine.out + fine.err
    assert bad.code == 1
    assert "data_loss/drop-table" in bad.out + bad.err


@pytest.mark.parametrize("name", sorted(path.stem for path in WORKFLOWS.glob("*.yaml")))
def test_a_workflow_asks_for_no_more_than_it_needs(name: str) -> None:
    """No text that others choose gets into a script, no pull request gets an identity, no database URL or key is there."""
    read, text = workflow(name), (WORKFLOWS / f"{name}.yaml").read_text()

    assert not any("${{" in step["run"] for job in read["jobs"] for step in steps(name, job))
    assert all(job["timeout-minutes"] <= 360 for job in read["jobs"].values())
    assert ("id-token" in read["permissions"]) == (name in ASK)
    assert not any(event.startswith("pull_request") for event in read[True]) or name not in ASK
    assert not re.search(r"DATABASE_URL|SUPABASE_|SERVICE_ROLE|SLACK_", text)


def test_what_the_workflows_are_is_what_the_example_maps() -> None:
    """Copied as they are, the workflows and the configuration's example fit together."""
    ci = load_settings(WORKFLOWS.parent.parent / "countersign.example.toml").ci
    assert ci is not None
    mapped = {one.workflow.rpartition("/")[2].removesuffix(".yml"): one for one in ci.github}

    assert set(mapped) == ASK
    for name, one in mapped.items():
        on = workflow(name)[True]
        assert set(one.events) == set(on)
        assert one.ref in {f"refs/heads/{branch}" for branch in on["push"]["branches"]}
        said = " ".join(step["run"] for job in workflow(name)["jobs"] for step in steps(name, job))
        assert set(re.findall(r"countersign (?:push|plan) (\w+)", said)) == set(one.environments)
