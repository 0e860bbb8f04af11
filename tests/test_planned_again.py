"""Plans that take the place of others: by a newer commit, or by themselves when another run has changed the target."""

import signal
from collections.abc import Callable
from typing import Any

from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import kinds
from people_talk import rules
from people_talk import small
from people_talk import told
from people_talk import wait_for

from sandbox.stage import Stage

Make = Callable[..., Stage]

NOTES = "20260101000001_add_notes.sql"
TAGS = "20260101000002_add_tags.sql"
PEOPLE = '"@database-owners", "U0DEE"'


def of(stage: Stage, kind: str, request: str) -> list[dict[str, Any]]:
    """What the events of this kind in a request's stream hold."""
    return [one.data or {} for one in stage.events(kind) if one.stream == f"request:{request}"]


def letters(stage: Stage, who: str) -> str:
    """Everything that a person was told directly."""
    return "\n".join(stage.slack.render(one) for one in stage.slack.direct(who).messages)


def tags(stage: Stage) -> None:
    stage.migration(TAGS, "create table public.tags (id int primary key);\n")


def test_the_next_in_line_is_planned_again_and_what_people_agreed_to_counts_on(make_stage: Make) -> None:
    stage = small(make_stage, rules(2, approvers=PEOPLE))
    ask(stage)  # notes
    tags(stage)
    ask(stage, DEE)  # notes and tags
    assert "1 more needed" in approve(stage, CHI, "R-2")
    assert "2nd for shop/prod, behind R-1" in card(stage, "R-2 · shop/prod: waiting")
    assert "2nd in line" in told(stage.slack.say(ANA, "/migrate status prod"))

    approve(stage, BEN)
    assert "It has all it needs" in approve(stage, CHI)
    card(stage, "R-1 · shop/prod: done")

    shown = card(stage, "R-3 · shop/prod: waiting")
    assert "Approvals: 1 of 2 · @Chi" in shown
    assert "given to R-2" in shown
    counts = "@Chi said yes to R-2, which counts here. Everything that it covered is as it was, and nothing was added; "
    counts += f"R-1 ran meanwhile, and did only what the log says. What is done of it: {NOTES}."
    assert counts in shown
    wait_for(lambda: [one for one in stage.slack.posts() if "An approval of R-2 counts here" in str(one)])
    assert "R-1 ran on shop/prod meanwhile, so R-2 was planned again: R-3." in card(stage, "R-2 · shop/prod: no longer")
    [carried] = of(stage, "approval_carried", "R-3")
    assert (carried["approver"], carried["differs"]) == ("slack:T0ACME/U0CHI", {"landed": ["R-1"], "ran": [NOTES]})
    assert [carried[name] for name in ("from_digest", "to_digest")] == [
        of(stage, "requested", number)[0]["digest"] for number in ("R-2", "R-3")
    ]
    assert of(stage, "requested", "R-3")[0]["replaces"] == "R-2"
    assert of(stage, "requested", "R-3")[0]["expires_at"] == of(stage, "requested", "R-2")[0]["expires_at"]
    wait_for(lambda: "[Approve for prod]" in card(stage, "R-3 · shop/prod: waiting"))
    assert "It has all it needs" in approve(stage, BEN, "R-3")
    card(stage, "R-3 · shop/prod: done")
    assert kinds(stage, "R-3") == ["requested", "approved", "started", "succeeded"]
    assert stage.sql("prod", "select count(*) from supabase_migrations.schema_migrations") == [(2,)]
    assert "planned again" not in letters(stage, DEE)  # nothing was lost, so nobody is disturbed
    assert "no longer counts" not in letters(stage, CHI) + letters(stage, DEE)
    in_order(stage)


def test_a_newer_commit_keeps_what_is_unchanged_and_says_what_differs_where_it_is_not(make_stage: Make) -> None:
    stage = small(make_stage, rules(2, approvers=PEOPLE))
    ask(stage)
    approve(stage, BEN)
    stage.commit({"README.md": "Nothing that runs."}, "Say more")
    ask(stage)

    assert "Approvals: 1 of 2 · @Ben" in card(stage, "R-2 · shop/prod: waiting")
    assert [one["approver"] for one in of(stage, "approval_carried", "R-2")] == ["slack:T0ACME/U0BEN"]

    tags(stage)
    ask(stage)
    shown = card(stage, "R-3 · shop/prod: waiting")
    assert "Approvals: 0 of 2" in shown
    assert "@Ben approved R-1; that does not count here." in shown
    assert f"• file  {TAGS} was added (+1 line)" in shown
    [voided] = of(stage, "approval_voided", "R-3")
    assert (voided["person"], voided["from_request"]) == (BEN, "R-1")
    wait_for(lambda: "your approval no longer counts" in letters(stage, BEN))
    assert "no longer counts" not in letters(stage, ANA)  # she asked for it herself
    assert "It has all it needs" not in approve(stage, CHI, "R-3")
    assert stage.cli("show", "R-3", "--json").json["voided"][0]["from"] == "R-1"

    stage.sql("prod", "create table public.by_hand (id int)")
    stage.commit({"README.md": "Nothing."}, "Say less")
    ask(stage)
    assert "The target was changed by something else" in of(stage, "approval_voided", "R-4")[0]["because"]
    in_order(stage)


def test_a_killed_bot_plans_again_at_its_next_start_once(make_stage: Make) -> None:
    stage = small(make_stage, rules(1, approvers=PEOPLE))
    ask(stage)
    tags(stage)
    ask(stage, DEE)
    told(stage.slack.click(BEN, "Approve", about="R-1"))
    wait_for(lambda: of(stage, "succeeded", "R-1"))
    stage.stop_bot(signal.SIGKILL)

    stage.start_bot()
    card(stage, "R-3 · shop/prod: waiting")
    again = [one.request for one in stage.events("requested") if (one.data or {})["replaces"]]
    assert again == ["R-3"]
    assert kinds(stage, "R-2") == ["requested", "superseded"]

    stage.stop_bot()
    stage.sql("prod", "create table public.tags (id int)")  # what R-3 would make is there already
    stage.start_bot()
    wait_for(lambda: "[Approve for prod]" in card(stage, "R-3 · shop/prod: waiting"))
    assert "this changed" in approve(stage, BEN, "R-3")  # nobody of us ran anything: it is not planned again by itself
    assert kinds(stage, "R-3") == ["requested", "superseded"]
    assert [one.request for one in stage.events("requested")] == ["R-1", "R-2", "R-3"]
