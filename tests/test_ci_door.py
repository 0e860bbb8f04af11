"""A CI job asks the bot: it plans, asks and waits from an empty folder, and can do nothing else."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from ci_support import BEARER
from ci_support import free_port
from ci_support import job_environment
from ci_support import listening
from people_talk import approve
from people_talk import card
from people_talk import rules
from people_talk import wait_for

from commands.words import declared_words
from sandbox.github import FakeGithub
from sandbox.postgres import LocalPostgres
from sandbox.stage import Ran
from sandbox.stage import Stage
from sandbox.stage import git

DEV = {"ref": "refs/heads/develop", "job_workflow_ref": "acme/shop/.github/workflows/dev.yml@refs/heads/develop"}


@dataclass
class Desk:
    """One bot, and the runner of its jobs."""

    stage: Stage
    github: FakeGithub
    url: str
    runner: Path
    clients: int = 0

    @property
    def head(self) -> str:
        return git(self.stage.repository, "rev-parse", "HEAD")

    def job(self, *words: str, sha: str = "", token: str = "", **claims: Any) -> Ran:
        """Words that a job says; the job is one of production, at the newest commit, unless said otherwise."""
        proves = {"COUNTERSIGN_TOKEN": token} if token else self.github.environment(sha or self.head, **claims)
        runner: Any = SimpleNamespace(folder=self.runner, environment=job_environment(proves))
        return Stage.cli(runner, *words, "--remote", self.url, seconds=60)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One request of a client of its own, as the proxy says: refusals count for each."""
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return httpx.post(self.url + path, content=content, headers={**self._client(), **headers}, timeout=30)

    def look(self, path: str, **claims: Any) -> int:
        headers = {**self._client(), "Authorization": self.id_token(**claims)}
        return httpx.get(self.url + path, headers=headers, timeout=30).status_code

    def _client(self) -> dict[str, str]:
        self.clients += 1
        return {"X-Forwarded-For": f"203.0.113.9, 10.1.{self.clients // 200}.{self.clients % 200}"}

    def id_token(self, **claims: Any) -> str:
        said = {"aud": self.url, **claims}
        return f"Bearer {self.github.sign(self.github.claims(self.head, **said))}"

    def state(self, context: str = "countersign/shop/prod") -> list[str]:
        return [f"{one['state']}: {one['description']}" for one in self.github.statuses if one["context"] == context]


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    stages: list[Stage] = []

    def make(**settings: Any) -> Stage:
        stages.append(Stage(postgres=local_postgres, rate_limits=False, **settings))
        return stages[-1].__enter__()

    with FakeGithub() as github:
        try:
            stage, url = listening(make, github, rules(1))
            yield Desk(stage, github, url, tmp_path_factory.mktemp("runner"))
        finally:
            for one in stages:
                one.close()


def test_a_job_pushes_to_dev_and_asks_for_prod(desk: Desk) -> None:
    """The route of a deploy: dev runs at once; prod is planned, asked for, waited for, approved by a person, and done."""
    ran = desk.job("push", "dev", "--json", **DEV)
    assert (ran.code, ran.json["status"], ran.json["ok"]) == (0, "succeeded", True), (
        ran.out + desk.stage.bot_log.read_text()[-3000:]
    )

    planned = desk.job("plan", "prod", "--json")
    assert (planned.code, len(planned.json["pending"])) == (0, 1)
    assert "add_notes" in desk.job("plan", "prod", "--markdown").out

    waits: list[Ran] = []
    job = threading.Thread(target=lambda: waits.append(desk.job("push", "prod", "--wait", "--json")))
    job.start()
    card(desk.stage, "R-2 · ")
    wait_for(lambda: "pending: R-2 waiting" in desk.state())
    approve(desk.stage, "U0BEN", about="R-2")
    job.join(60)

    assert (waits[0].code, waits[0].json["status"], waits[0].json["request"]) == (0, "succeeded", "R-2"), waits[0].err
    assert waits[0].json["digest"] == planned.json["digest"]
    assert desk.stage.sql("prod", "select to_regclass('public.notes') is not null") == [(True,)]
    asked = next(one for one in desk.stage.events("requested") if one.request == "R-2")
    assert asked.actor == "ci:github/712345678/9001"
    assert asked.data is not None
    assert asked.data["commit"] == desk.head
    assert "mia-gh" in asked.data["unknown_authors"]
    wait_for(lambda: "success: R-2 succeeded" in desk.state())
    assert desk.state("countersign/shop/dev")[-1] == "success: R-1 succeeded"
    assert {one["sha"] for one in desk.github.statuses} == {desk.head}

    again = desk.job("push", "prod", "--wait", "--json")
    assert (again.code, again.json["status"], again.json["request"]) == (0, "nothing_to_do", None)


def test_who_started_the_job_does_not_approve_what_it_asks_for(desk: Desk) -> None:
    desk.stage.migration("20260101000002_more.sql", "create table public.more (id int primary key);\n")
    desk.github.fail_statuses.append(500)
    asked = desk.job("push", "prod", "--json", actor="ana@acme.example")
    number = asked.json["request"]

    assert (asked.code, asked.json["status"]) == (0, "waiting")
    event = next(one for one in desk.stage.events("requested") if one.request == number)
    assert event.data is not None
    assert event.data["behind"] == ["U0ANA"]
    assert "started by you" in approve(desk.stage, "U0ANA", about=number)
    wait_for(lambda: f"pending: {number} waiting" in desk.state(), what="the status was not said again")
    waited = desk.job("push", "prod", "--wait", "1s", "--json")
    assert (waited.code, waited.json["request"], waited.json["reason"]) == (4, number, "still_waiting")


REFUSED = {
    "an environment of another job": (("push", "dev"), {}, 3, "not_allowed"),
    "an environment that is not there": (("push", "staging"), {}, 2, "unknown_environment"),
    "a commit that is not the job's": (("push", "prod", "--commit", "b" * 40), {}, 3, "not_allowed"),
    "a pull request": (("plan", "prod"), {"event_name": "pull_request"}, 3, "not_allowed"),
    "a hotfix": (("push", "prod", "--hotfix", "orders fail"), {}, 2, "bad_usage"),
    "an emergency": (("push", "prod", "--emergency", "orders fail"), {}, 2, "bad_usage"),
    "an approval": (("approve", "R-1"), {}, 2, "bad_usage"),
    "what is newer than the branch": (("push", "prod"), {"sha": "c" * 40}, 3, "commit_not_on_branch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_job_is_refused(case: str, desk: Desk) -> None:
    words, claims, code, reason = REFUSED[case]
    before = len(desk.stage.events("requested"))

    ran = desk.job(*words, "--json", **claims)

    assert (ran.code, ran.json["ok"]) == (code, False), ran.out
    assert ran.json["reason"] == reason
    assert len(desk.stage.events("requested")) == before


def test_a_bearer_token_reaches_what_it_is_mapped_to(desk: Desk) -> None:
    allowed = desk.job("plan", "dev", "--json", token=BEARER)
    refused = desk.job("plan", "prod", "--json", token=BEARER)
    wrong = desk.job("plan", "dev", "--json", token="w" * 40)

    assert (allowed.code, refused.code, wrong.code) == (0, 3, 3)
    assert wrong.json["reason"] == "identity_unproven"
    said = desk.stage.events("commanded")[-1]
    assert said.actor == "ci:token/elsewhere"
    assert said.data is not None
    assert said.data["behind"] == ["whoever started the job"]
    secret = BEARER.encode()
    kept = [path for path in desk.stage.folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert not [path for path in kept if secret in path.read_bytes()]


def test_the_door_does_nothing_but_plan_push_and_wait(desk: Desk) -> None:
    """Every other word, and whatever is no asking, is refused without a trace of it having been done."""
    before = [one.kind for one in desk.stage.events() if one.kind != "ci_admitted"]
    body = {"environment": "prod", "key": "k" * 32}
    answers = {}
    for word in sorted({*declared_words(), "approve", "cancel", "stop"} - {"plan", "push"}):
        answers[word] = desk.post(f"/ci/v1/{word}", body, Authorization=desk.id_token())
    odd = [
        b"", b"[]", b"{", b"\xff", b"[" * 60_000, {**body, "environment": "prod --hotfix x"}, {**body, "commit": "HEAD"},
        {**body, "environment": "../prod"}, {**body, "key": "short"}, {**body, "approve": True}, {"key": "k" * 32},
    ]  # fmt: skip
    for number, one in enumerate(odd):
        answers[f"odd {number}"] = desk.post("/ci/v1/push", one, Authorization=desk.id_token())
    for number, header in enumerate(("", "Basic YTpi", "Bearer", f"Bearer {BEARER[:-1]}", "Bearer a.b.c")):
        answers[f"sender {number}"] = desk.post("/ci/v1/push", body, Authorization=header)
    answers["too large"] = desk.post("/ci/v1/push", b"x" * 70_000, Authorization=desk.id_token())

    assert {name: one.status_code for name, one in answers.items() if name in declared_words()} == dict.fromkeys(
        set(declared_words()) - {"plan", "push"}, 404
    )
    assert {one.status_code for name, one in answers.items() if name.startswith("odd")} == {400}
    assert {one.status_code for name, one in answers.items() if name.startswith("sender")} == {401}
    assert answers["too large"].status_code == 413
    assert [one.kind for one in desk.stage.events() if one.kind != "ci_admitted"] == before
    assert all(one.headers["cache-control"] == "no-store" for one in answers.values())


def test_a_token_is_good_for_one_request(desk: Desk) -> None:
    token = desk.id_token()

    first = desk.post("/ci/v1/plan", {"environment": "prod", "key": "a" * 32}, Authorization=token)
    second = desk.post("/ci/v1/plan", {"environment": "prod", "key": "a" * 32}, Authorization=token)

    assert (first.status_code, second.status_code) == (200, 401)
    assert "used before" in second.json()["reply"]["message"]


def test_numbers_of_other_targets_are_not_there(desk: Desk) -> None:
    seen = [
        desk.look("/ci/v1/requests/R-1"),
        desk.look("/ci/v1/requests/R-1", **DEV),
        desk.look("/ci/v1/requests/R-2"),
        desk.look("/ci/v1/requests/R-999"),
        desk.look("/ci/v1/requests/R-01"),
    ]

    assert seen == [404, 200, 200, 404, 400]


def test_a_commit_that_the_branch_reached_meanwhile_is_found(desk: Desk) -> None:
    """Main is moved on to what develop had, so the mirror knows the commit, and main not yet."""
    before = desk.head
    desk.stage.migration("20260101000003_most.sql", "create table public.most (id int primary key);\n")
    newest = desk.head
    git(desk.stage.repository, "reset", "--quiet", "--soft", before)
    assert desk.job("plan", "dev", "--json", sha=newest, **DEV).code == 0
    early = desk.job("plan", "prod", "--json", sha=newest)
    git(desk.stage.repository, "reset", "--quiet", "--hard", newest)

    late = desk.job("plan", "prod", "--json", sha=newest)

    assert early.json["reason"] == "commit_not_on_branch"
    assert (late.code, late.json["commit"]) == (0, newest)


def test_a_client_that_is_refused_over_and_over_is_shut_out(desk: Desk) -> None:
    def knock() -> int:
        return httpx.get(f"{desk.url}/x", headers={"X-Forwarded-For": "198.51.100.7"}, timeout=30).status_code

    codes = [knock() for _ in range(20)]

    assert codes[0] == 404
    assert 429 in codes  # on a slow machine a point or two comes back in between
    assert desk.post("/x").status_code == 404


def test_a_job_whose_bot_is_gone_is_told_so_and_asks_again(desk: Desk) -> None:
    """The bot is killed while a job waits, and comes back: the job hears the end all the same."""
    before = len(desk.stage.events("ci_admitted"))
    desk.stage.migration("20260101000004_last.sql", "create table public.last (id int primary key);\n")
    waits: list[Ran] = []
    job = threading.Thread(target=lambda: waits.append(desk.job("push", "prod", "--wait", "--json")))
    job.start()
    wait_for(lambda: any(one.data and desk.head == one.data["commit"] for one in desk.stage.events("requested")))
    number = desk.stage.events("requested")[-1].request or ""
    card(desk.stage, f"{number} · ")
    wait_for(lambda: len(desk.stage.events("ci_admitted")) >= before + 2, what="the job does not wait")
    desk.stage.stop_bot(signal.SIGKILL)
    time.sleep(0.5)
    desk.stage.start_bot()
    approve(desk.stage, "U0BEN", about=number)
    job.join(90)

    assert (waits[0].code, waits[0].json["status"], waits[0].json["request"]) == (0, "succeeded", number), waits[0].err


def test_a_bot_that_cannot_be_reached_is_no_success(tmp_path: Path) -> None:
    runner: Any = SimpleNamespace(folder=tmp_path, environment=job_environment({"COUNTERSIGN_TOKEN": BEARER}))

    clear = Stage.cli(runner, "push", "prod", "--remote", "http://countersign.acme.example", "--json")
    nobody = Stage.cli(
        SimpleNamespace(folder=tmp_path, environment=job_environment({})),  # type: ignore[arg-type]
        *("push", "prod", "--remote", "http://127.0.0.1:9", "--json"),
    )

    assert (clear.code, clear.json["reason"]) == (2, "bad_usage")
    assert (nobody.code, nobody.json["reason"]) == (3, "identity_unproven")


def test_a_bot_that_is_not_there_is_asked_again_as_long_as_the_job_would_wait(tmp_path: Path) -> None:
    runner: Any = SimpleNamespace(folder=tmp_path, environment=job_environment({"COUNTERSIGN_TOKEN": BEARER}))
    words = ("push", "prod", "--remote", f"http://127.0.0.1:{free_port()}", "--wait", "3s")

    ran = Stage.cli(runner, *words)
    assert ran.code == 1
    assert "The bot cannot be reached" in ran.out + ran.err
    assert ran.err.count("the bot does not answer") == 1  # and once more would be behind the three seconds
    told = Stage.cli(runner, *words, "--json")
    assert (told.code, told.json["reason"]) == (1, "remote_unavailable")
