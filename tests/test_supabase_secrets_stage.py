"""Secrets on a real bot and a real API on this desk: asked for in Slack, agreed to, entered on a page or at the terminal."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import approve
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import told
from people_talk import wait_for

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import REF
from sandbox.supabase_api import SupabaseApi

OTHER = "zyxwvutsrqponmlkjihg"
VALUES = (
    "entered-on-the-page",
    "entered-at-the-terminal",
    "hunter2",
    "entered-in-vain",
    "entered-and-killed",
    "typed-unseen",
)
SOURCE = 'Deno.env.get("STRIPE_KEY"); Deno.env.get("MODE") ?? "live";\n'
LAB = f"""
[projects.shop.environments.lab]
database_url = "$SHOP_DEV_DATABASE_URL"
branch = "main"
approvals = 0
backup = "none"
project_ref = "{OTHER}"
"""


@pytest.fixture(scope="module")
def api() -> Iterator[SupabaseApi]:
    with SupabaseApi(REF, OTHER) as api:
        yield api


@pytest.fixture(scope="module")
def stage(api: SupabaseApi, local_postgres: LocalPostgres) -> Iterator[Stage]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        listen = f"127.0.0.1:{found.getsockname()[1]}"
    prod = f'project_ref = "{REF}"\nproject_url = "{api.url}"\n{rules()}\n{LAB}'
    listener = f'\n[listener]\nlisten = "{listen}"\nurl = "http://{listen}"\n'
    with Stage(prod=prod, slack=listener, empty=True, environment=api.environment, postgres=local_postgres) as stage:
        stage.commit({"supabase/functions/pay/index.ts": SOURCE})
        stage.start_bot()
        yield stage
        in_order(stage, *VALUES)


def entered(stage: Stage, value: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A word at the terminal, with a value on its standard input."""
    command = [sys.executable, "-m", "countersign", "secrets", *words, "--from-stdin", "--json"]
    return subprocess.run(
        command,
        cwd=stage.folder,
        env=stage.environment,
        input=value,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def typed(stage: Stage, value: str, *words: str) -> str:
    """All that a terminal shows while somebody types the word, and the value when they are asked for it."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(stage.folder)
        command = [sys.executable, "-m", "countersign", "secrets", *words]
        os.execve(sys.executable, command, stage.environment)  # noqa: S606 - a pty, no other shell
    shown, is_typed = b"", False
    with contextlib.suppress(OSError):  # the other end is closed when the command has ended
        while select.select([terminal], [], [], 30)[0] and (part := os.read(terminal, 10_000)):
            shown += part
            if b"not shown" in shown and not is_typed:
                is_typed = os.write(terminal, f"{value}\n".encode()) > 0
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode()


def values(api: SupabaseApi, ref: str = REF) -> dict[str, str]:
    return {name: value for name, (value, _) in api.projects[ref].secrets.items()}


def test_what_is_missing_stands_first(stage: Stage, api: SupabaseApi) -> None:
    api.projects[REF].secrets["OLD_KEY"] = api.projects[OTHER].secrets["OLD_KEY"] = ("same", "2026-11-01T10:00:00Z")
    found = stage.cli("secrets", "prod", "--json").json
    assert (found["missing"], found["open_functions"]) == (["MODE", "STRIPE_KEY"], [])
    old = next(one for one in found["secrets"] if one["name"] == "OLD_KEY")
    assert old["shared_with"] == ["lab"]
    assert len(old["digest"]) == 8
    unmanaged = stage.cli("secrets", "dev")
    assert (unmanaged.code, "project_ref" in unmanaged.err) == (2, True)
    shown = told(stage.slack.say(ANA, "/migrate secrets prod"))
    assert "1 secret on shop/prod, 1 missing" in shown
    assert shown.index("STRIPE_KEY") < shown.index("OLD_KEY")


def test_a_value_typed_with_the_name_is_refused_and_nowhere(stage: Stage, api: SupabaseApi) -> None:
    for line in ("secrets prod set STRIPE_KEY=hunter2", "secrets prod set STRIPE_KEY hunter2"):
        assert "make a new" in told(stage.slack.say(ANA, f"/migrate {line}")).lower()
        assert stage.cli(*line.split()).code == 2
    assert stage.events("requested") == []
    assert api.seen("POST .*/secrets") == []


def test_agreed_to_in_slack_and_entered_on_a_page_once(stage: Stage, api: SupabaseApi) -> None:
    assert "R-1 is asked for: set the secret STRIPE_KEY" in told(
        stage.slack.say(ANA, "/migrate secrets prod set STRIPE_KEY")
    )
    shown = card(stage, "[Approve for prod]")
    assert "Sets the secret STRIPE_KEY of the project" in shown
    assert "Read by: pay." in shown
    approve(stage, BEN)
    assert "waits for its value" in card(stage, "R-1 · set the secret STRIPE_KEY on shop/prod: approved")
    assert "waits for the value of STRIPE_KEY" in stage.cli("why", "R-1").out
    assert api.seen("POST .*/secrets") == []
    wait_for(
        lambda: "secrets prod set STRIPE_KEY" in "".join(map(stage.slack.render, stage.slack.direct(ANA).messages))
    )
    assert "somebody else" in told(stage.slack.say(BEN, "/migrate secrets prod set STRIPE_KEY"))

    private = told(stage.slack.say(ANA, "/migrate secrets prod set STRIPE_KEY"))
    link = re.search(r"http://127\S+/value/[\w-]+", private)
    assert link is not None
    with httpx.Client() as browser:
        assert browser.head(link[0]).status_code == 405
        page = browser.get(link[0])
        ticket = re.search(r'name="ticket" value="([\w-]+)"', page.text)
        assert ticket is not None
        assert "script" not in page.text
        assert (page.headers["cache-control"], page.headers["x-frame-options"]) == ("no-store", "DENY")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        form = {"ticket": (None, ticket[1]), "value": (None, f"{VALUES[0]}\r\n")}
        assert httpx.post(link[0], files=form).status_code == 403  # a form of another place lacks the cookie
        foreign = {"Origin": "https://evil.example"}
        assert browser.post(link[0], files=form, headers=foreign).status_code == 403
        assert api.seen("POST .*/secrets") == []
        done = browser.post(link[0], files=form)
        assert (done.status_code, "STRIPE_KEY is set" in done.text) == (200, True)
        assert VALUES[0] not in done.text
        assert browser.post(link[0], files=form).status_code == 410
    assert link[0].rpartition("/")[2] not in stage.bot_log.read_text() + "".join(map(str, stage.events()))
    assert values(api)["STRIPE_KEY"] == VALUES[0]
    assert "STRIPE_KEY is set, digest" in card(stage, "R-1 · set the secret STRIPE_KEY on shop/prod: done")
    kinds = [one.kind for one in stage.events() if one.request == "R-1" and one.stream == "request:R-1"]
    wanted = ["value_asked", "value_given", "started", "secret_set_sent", "secret_set", "succeeded"]
    assert [one for one in kinds if one in wanted] == wanted


def test_a_terminal_asks_for_the_value_without_showing_it_once_people_agreed(stage: Stage, api: SupabaseApi) -> None:
    early = entered(stage, VALUES[5], "prod", "set", "MAIL_KEY")
    assert (early.returncode, '"value": "needed"' in early.stdout, "MAIL_KEY" in values(api)) == (0, False, False)
    number = json.loads(early.stdout)["request"]
    wait_for(lambda: "[Approve for prod]" in card(stage, f"{number} · set the secret MAIL_KEY"), 20)
    approve(stage, BEN, number)
    wait_for(lambda: "waits for its value" in card(stage, f"{number} · set the secret MAIL_KEY"), 20)
    shown = typed(stage, VALUES[5], "prod", "set", "MAIL_KEY")
    assert "MAIL_KEY is set, digest" in shown
    assert VALUES[5] not in shown
    assert values(api)["MAIL_KEY"] == VALUES[5]


def test_a_push_tells_an_outcome_for_each_name_and_one_that_is_gone_ends_it(stage: Stage, api: SupabaseApi) -> None:
    plan = stage.cli("plan", "prod", "--json").json
    told_of = [one for one in plan["hazards"] if one["rule"].startswith("secret-")]
    assert [(one["level"], "MODE" in one["message"]) for one in told_of] == [("info", True)]
    number = stage.cli("push", "prod", "--json").json["request"]
    wait_for(lambda: "[Approve for prod]" in card(stage, f"{number} · "), 20)
    kept = api.projects[REF].secrets.pop("STRIPE_KEY")
    approve(stage, BEN, number)
    wait_for(lambda: stage.events("partially_applied"), 20)
    api.projects[REF].secrets["STRIPE_KEY"] = kept
    assert "all applied, but not ended well" in card(stage, "STRIPE_KEY, which was there when this was planned")
    stage.commit({"supabase/functions/pay/index.ts": f"{SOURCE}// again\n"})
    number = stage.cli("push", "prod", "--json").json["request"]
    wait_for(lambda: "[Approve for prod]" in card(stage, f"{number} · "), 20)
    approve(stage, BEN, number)
    wait_for(lambda: [one for one in stage.events("succeeded") if one.request == number], 20)
    steps = [one.data or {} for one in stage.events("step_finished") if one.request == number]
    [found] = [step["result"]["secrets"] for step in steps if step["step"] == "secrets"]
    assert {one["name"]: one["outcome"] for one in found} == {"MODE": "missing", "STRIPE_KEY": "there"}


def test_where_nobody_approves_the_terminal_does_all_of_it(stage: Stage, api: SupabaseApi) -> None:
    ran = entered(stage, f"{VALUES[1]}\n", "lab", "set", "SMTP_KEY")
    assert (ran.returncode, values(api, OTHER).get("SMTP_KEY")) == (0, VALUES[1]), ran.stderr
    assert '"status": "succeeded"' in ran.stdout
    again = stage.cli("secrets", "lab", "set", "SMTP_KEY", "--json")  # no terminal to ask at
    assert (again.code, again.json["value"]) == (0, "needed")
    stage.cli("cancel", again.json["request"])
    assert stage.cli("secrets", "lab", "unset", "SMTP_KEY", "--json").json["status"] == "succeeded"
    assert "SMTP_KEY" not in values(api, OTHER)
    assert stage.cli("secrets", "lab", "unset", "SMTP_KEY", "--json").json["status"] == "nothing_to_do"


def test_what_was_sent_and_not_answered_is_looked_for_and_never_sent_again(stage: Stage, api: SupabaseApi) -> None:
    def sent() -> int:
        return len(api.seen("POST .*/secrets"))

    before = sent()
    api.fail("POST .*/secrets", 500, done=True)
    assert '"status": "succeeded"' in entered(stage, VALUES[3], "lab", "set", "A_KEY").stdout
    api.fail("POST .*/secrets", 403)
    refused = entered(stage, VALUES[3], "lab", "set", "B_KEY")
    assert (refused.returncode, '"status": "failed"' in refused.stdout) == (1, True)
    assert "edge_functions_secrets_write" in refused.stdout
    api.fail("POST .*/secrets", "drop")
    unknown = entered(stage, VALUES[3], "lab", "set", "C_KEY")
    assert (unknown.returncode, '"status": "interrupted"' in unknown.stdout) == (1, True)
    assert sent() == before + 3
    assert set(values(api, OTHER)) == {"OLD_KEY", "A_KEY"}
    number = stage.events("interrupted")[-1].request
    assert stage.cli("cancel", str(number), "it", "is", "not", "there").code == 0


def test_a_bot_that_is_killed_while_it_is_sent_finds_out_what_became_of_it(stage: Stage, api: SupabaseApi) -> None:
    api.fail("POST .*/secrets", "slow", done=True, seconds=20)
    command = [sys.executable, "-m", "countersign", "secrets", "lab", "set", "K_KEY", "--from-stdin", "--json"]
    with subprocess.Popen(
        command,
        cwd=stage.folder,
        env=stage.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as asking:
        assert asking.stdin is not None
        asking.stdin.write(VALUES[4].encode())
        asking.stdin.close()
        wait_for(lambda: "K_KEY" in values(api, OTHER), 20)
        stage.stop_bot(signal.SIGKILL)
        asking.wait(20)
    api.heal()
    stage.start_bot()
    wait_for(lambda: stage.events("succeeded")[-1].request == stage.events("started")[-1].request, 20)
    [done] = [one for one in stage.events("secret_set") if (one.data or {})["secret"] == "K_KEY"]
    assert (done.data or {})["seen_by"] == "digest"
