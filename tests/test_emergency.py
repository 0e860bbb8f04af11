"""Codes and emergencies as people meet them: forms in Slack, a run without approvals, and the review that it owes."""

import base64
from collections.abc import Iterator
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pyrage
import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import ask
from people_talk import cards
from people_talk import refusals
from people_talk import rules
from people_talk import thread
from people_talk import told
from people_talk import wait_for
from run_support import ended
from run_support import request_of
from run_support import until_event

from ops.layer import utc_now
from ops.one_time_code import code_at
from ops.one_time_code import step_at
from ops.status import Status
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import Answer
from sandbox.slack_state import Message
from sandbox.slack_workspace import Channel
from sandbox.stage import Stage

PROD = rules(1, "second_factor = true", f'overriders = ["{ANA}"]', "[second_factor]", 'key = "file:key.txt"')
WHY = "INC-42 orders cannot be paid"


@pytest.fixture(scope="module")
def stage(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """Prod takes codes; Ana may override there. Ben and Ana have a second factor, Chi has none."""
    with Stage(
        prod=PROD, slack='emergency_channel = "C0ONCALL"', empty=True, rate_limits=False, postgres=local_postgres
    ) as made:
        made.slack.workspace.channels["C0ONCALL"] = Channel("C0ONCALL", "oncall", (CHI, "U0COUNTER"))
        (made.folder / "key.txt").write_text(str(pyrage.x25519.Identity.generate()))
        made.start_bot()
        yield made


@pytest.fixture(scope="module")
def secrets(stage: Stage) -> dict[str, bytes]:
    """The secrets of those who have one, as their apps have them."""
    found = {}
    for who in (ANA, BEN):
        url = stage.cli("enrol", who, "--json").json["url"]
        text = parse_qs(urlsplit(url).query)["secret"][0]
        found[who] = base64.b32decode(text + "=" * (-len(text) % 8))
    return found


def give(stage: Stage, who: str, pressed: Answer, code: str) -> Answer:
    """Type a code into the form that a button opened."""
    view = pressed.modal(10)
    assert view is not None, pressed.texts()
    return stage.slack.submit(who, view, {"code": code})


def private_answer(stage: Stage, who: str, words: str) -> Message:
    """What somebody is told in private, with buttons of their own."""
    answer = stage.slack.say(who, words)
    told(answer)
    return answer.messages()[-1]


def direct(stage: Stage, who: str) -> str:
    return "\n".join(stage.slack.render(one) for one in stage.slack.direct(who).messages)


def test_an_approval_takes_a_code_that_is_nowhere_afterwards(stage: Stage, secrets: dict[str, bytes]) -> None:
    stage.migration("20260101000001_add_notes.sql", "create table public.notes (id int primary key);\n")
    card = ask(stage)
    digest = request_of(stage).digest
    assert "takes a one-time code" in told(stage.slack.say(BEN, f"/migrate approve R-1 {digest[:16]}"))
    assert "You have no second factor" in told(stage.slack.click(CHI, "Approve", about="R-1"))
    near = {code_at(secrets[BEN], step_at(utc_now()) + away) for away in range(-3, 4)}
    wrong = next(f"{one}" for one in range(918_270, 918_370) if f"{one}" not in near)  # times are full of zeros
    private = private_answer(stage, BEN, "/migrate approve R-1")
    stage.slack.click_message(BEN, private, "Approve").modal(10)  # only opened, and left
    form = stage.slack.click_message(BEN, private, "Approve").modal(10)
    assert form is not None, "the button is there still"
    refused = stage.slack.submit(BEN, form, {"code": wrong})
    assert "That is not the code of your second factor" in refused.errors["code"]
    until_event(stage, "code_failed")
    assert request_of(stage).approvals == ()

    right = code_at(secrets[BEN], step_at(utc_now()))
    sent = stage.slack.submit(BEN, form, {"code": right})
    assert sent.errors == {}, "the form is usable still"
    assert "Your approval of R-1 is recorded" in told(sent)
    stage.slack.click_message(BEN, private, "Approve")
    wait_for(lambda: "stale_card" in refusals(stage))

    assert ended(stage).status is Status.SUCCEEDED
    [approved] = stage.events("approved")
    assert approved.data is not None
    assert (approved.actor, approved.data["facts"]["proved"]) == (f"slack:T0ACME/{BEN}", "code")
    assert {str(event.data["inputs"]) for event in stage.events("clicked") if event.data and event.data["inputs"]} == {
        "{'code': '«code»'}"
    }
    said = stage.slack.everything_said() + stage.bot_log.read_text() + thread(stage, card)
    kept = stage.log_path.read_bytes() + stage.log_path.with_name("audit.db-wal").read_bytes()
    for code in (wrong, right):
        assert code not in said
        assert f'"{code}"'.encode() not in kept
    for secret in secrets.values():
        assert base64.b32encode(secret).decode() not in said
        assert base64.b32encode(secret) not in kept


def test_an_emergency_runs_without_approvals_and_owes_a_review(stage: Stage, secrets: dict[str, bytes]) -> None:
    stage.migration("20260101000002_add_paid.sql", "create table public.paid (id int primary key);\n")
    before = len(stage.events("requested"))
    assert "You may not override" in told(stage.slack.say(BEN, f"/migrate push prod --emergency {WHY}"))
    assert "never shown in Slack" in told(stage.slack.say(ANA, f"/migrate enrol {ANA}"))
    another = stage.cli("enrol", BEN, "--json")
    assert (another.code, another.json["reason"]) == (
        3,
        "identity_unproven",
    )  # [people] does not know whose login it is
    assert "under [people]" in another.json["hint"]
    assert "Nobody has asked for a new second factor" in told(stage.slack.say(CHI, f"/migrate enrol {BEN} --agree"))
    assert stage.events("enrolment_asked", "enrolment_agreed") == []
    assert stage.cli("push", "prod", "--emergency", WHY, "--json").json["reason"] == "not_at_this_front"

    assert "is asked for as an emergency" in told(stage.slack.say(ANA, f"/migrate push prod --emergency {WHY}"))
    assert len(stage.events("requested")) == before + 1
    number = before + 1
    about = f"R-{number}"
    wait_for(lambda: any(event.request == about for event in stage.events("shown")))
    assert request_of(stage, number).emergency == WHY
    give(stage, ANA, stage.slack.click(ANA, "Override", about=about), code_at(secrets[ANA], step_at(utc_now())))

    assert ended(stage, number).status is Status.SUCCEEDED
    assert request_of(stage, number).approvals == ()
    started = next(event for event in stage.events("started") if event.stream == f"request:{about}")
    assert (started.data or {})["facts"]["overrider"] == f"slack:T0ACME/{ANA}"
    [owed] = stage.events("debt_owed")
    assert owed.id.startswith(started.id)  # in one transaction with the start
    root = next(one for one in cards(stage) if f"{about} · " in stage.slack.render(one))
    assert f"Emergency: {WHY}" in stage.slack.render(root)
    wait_for(lambda: "runs without approvals" in thread(stage, root))
    assert "made your second factor" in direct(stage, BEN)
    wait_for(lambda: "runs without approvals" in direct(stage, BEN) and "runs without approvals" in direct(stage, CHI))
    wait_for(lambda: bool(stage.slack.channel("oncall").messages))
    [on_call] = stage.slack.channel("oncall").messages
    assert f"Emergency: {about} on shop/prod runs without approvals" in stage.slack.render(on_call)

    stage.migration("20260101000003_add_more.sql", "create table public.more (id int primary key);\n")
    again = told(stage.slack.say(ANA, f"/migrate push prod --emergency {WHY}"))
    assert f"No emergency until this is done: {about} ran on shop/prod without approvals" in again
    assert f"{about} ran without approvals" in told(stage.slack.say(CHI, "/migrate status"))
    assert "You requested" in told(stage.slack.say(ANA, f"/migrate review {about}"))

    assert "nothing is owed for it any more" in told(
        stage.slack.say(BEN, f"/migrate review {about} --note looks right to me")
    )
    assert "No review of" in told(stage.slack.say(CHI, f"/migrate review {about}"))
    assert "is asked for as an emergency" in told(stage.slack.say(ANA, f"/migrate push prod --emergency {WHY}"))
