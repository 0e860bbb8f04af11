"""What a visitor breaks on the demo's page, and that Countersign does what the page says it will."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from page_visitor import Visitor
from page_visitor import open_page

from audit import Event
from sandbox.page_ask import has_pending
from sandbox.page_ask import waiting
from sandbox.postgres import LocalPostgres

ANA, BEN = "U0ANA", "U0BEN"


@pytest.fixture(scope="module")
def opened(local_postgres: LocalPostgres) -> Iterator[Visitor]:
    with open_page(local_postgres) as made:
        yield made


@pytest.fixture
def visitor(opened: Visitor) -> Visitor:
    """A page on which everything has been put right again: the bot is up, something is pending, nothing waits."""
    opened.post("/api/faults", down=False, rate_limited=False, slow=False)
    opened.break_it("start_bot")
    opened.break_it("release_table")
    if not has_pending(opened.world):
        opened.break_it("new_migration")
    opened.wait(lambda: opened.say(ANA, "/migrate help")["error"] is None)
    if (waits := waiting(opened.world)) is not None:
        opened.say(ANA, f"/migrate cancel {waits.id}")
        opened.wait(lambda: waiting(opened.world) is None)
    return opened


def approve(visitor: Visitor, number: str) -> None:
    assert visitor.press(BEN, "Approve", f"{number} · shop/prod") == {"error": None}


def ends(visitor: Visitor, number: str, kind: str) -> dict[str, Any]:
    """The data of the event that ends a request, once it does."""

    def found() -> list[Event]:
        return [one for one in visitor.world.stage.events(kind) if one.stream == f"request:{number}"]

    visitor.wait(found)
    return dict(found()[0].data or {})


def started(visitor: Visitor, number: str) -> bool:
    return any(one.request == number for one in visitor.world.stage.events("started"))


def columns(visitor: Visitor) -> list[str]:
    databases = {one["name"]: one for one in visitor.get("/api/schema")["databases"]}
    orders = next(one for one in databases["prod"]["tables"] if one["name"] == "public.orders")
    return [column["name"] for column in orders["columns"]]


def test_waiting_request_expires_when_the_clock_moves(visitor: Visitor) -> None:
    """Within seconds, and the log's times are the moved clock's."""
    number = visitor.ask()
    asked_at = visitor.world.stage.events("requested")[-1].at

    moved = visitor.post("/api/clock", forward_seconds=25 * 3600)

    assert moved["now"] > (asked_at + timedelta(hours=25)).isoformat()
    visitor.wait(lambda: visitor.world.stage.events("expired"), seconds=8)
    expired = visitor.world.stage.events("expired")[0]
    assert (expired.request, expired.actor) == (number, "system:clock")
    assert expired.at - asked_at >= timedelta(hours=25)
    visitor.message(ANA, "expired")
    assert visitor.step("expire")
    assert visitor.get("/api/log")["verified"]["ok"]


def test_killed_bot_is_down_until_it_is_started(visitor: Visitor) -> None:
    """Slack says so itself, and only to the one who typed."""
    before = visitor.state(ANA)["bot"]

    assert "kill -9" in visitor.break_it("kill_bot")["told"]
    assert visitor.state(ANA)["bot"] == {**before, "up": False, "pid": None}
    assert visitor.break_it("kill_bot")["told"] == "The bot is down already."
    error = "/migrate failed with the error “dispatch_failed”"
    assert visitor.say(ANA, "/migrate status") == {"error": error, "told": None}
    note = visitor.message(ANA, error)
    assert (note["author_name"], note["only_for_me"], note["failed"]) == ("Slackbot", True, "dispatch_failed")
    assert not [one for one in visitor.state(BEN)["messages"] if one["failed"]]
    assert visitor.break_it("edit_migration")["told"].startswith("Nothing was broken. The bot is down")

    assert visitor.break_it("start_bot")["told"] == "The bot runs."

    bot = visitor.state(ANA)["bot"]
    assert (bot["up"], bot["restarts"]) == (True, before["restarts"] + 1)
    assert bot["pid"] != before["pid"]
    assert visitor.say(ANA, "/migrate status")["error"] is None
    assert visitor.step("kill_bot")


def test_what_cannot_be_asked_for_says_who_locked_prod_and_until_when(visitor: Visitor) -> None:
    assert visitor.say(BEN, "/migrate lock prod for 2h the import is running")["error"] is None
    visitor.wait(lambda: visitor.world.stage.events("locked"))
    told = visitor.break_it("edit_migration")["told"]
    visitor.say(BEN, "/migrate unlock prod")
    visitor.wait(lambda: visitor.world.stage.events("unlocked"))
    wanted = (
        r"Nothing was broken\. Nothing waits on prod, and asking for a push did not help: "
        r"shop/prod is locked by @Ben until 20\S+ \d\d:\d\d UTC: the import is running\."
    )
    assert re.fullmatch(wanted, told), told


def test_edited_migration_is_not_what_was_approved(visitor: Visitor) -> None:
    number = visitor.ask()

    done = visitor.break_it("edit_migration")

    assert f"after {number} was asked for" in done["told"]
    assert number in done["watch"]
    approve(visitor, number)
    assert "no longer holds the commit" in str(ends(visitor, number, "superseded"))
    assert not started(visitor, number)
    assert visitor.step("edit_migration")
    visitor.say(ANA, "/migrate plan prod")
    visitor.wait(lambda: "public.refunds" in str(visitor.message(ANA, "pending")["blocks"]))


def test_changed_prod_is_not_what_was_approved(visitor: Visitor) -> None:
    """Nothing waits, so the page has Ana ask first."""
    before = columns(visitor)

    told = visitor.break_it("change_prod")["told"]

    asked = re.match(r"Ana asked for a push to prod: (R-\d+)\. Somebody ran ALTER TABLE", told)
    assert asked is not None, told
    assert [one.partition("_")[0] for one in columns(visitor)[len(before) :]] == ["hotfix"]
    approve(visitor, asked[1])
    assert ends(visitor, asked[1], "superseded")["changed"] == ["the target's schema"]
    assert not started(visitor, asked[1])
    assert visitor.step("change_prod")


def test_run_waits_for_a_held_table_survives_a_kill_and_goes_on(visitor: Visitor) -> None:
    before = columns(visitor)
    told = visitor.break_it("lock_table")["told"]
    number = told.removeprefix("Ana asked for a push to prod: ").partition(". A session called “reports”")[0]
    assert "already" in visitor.break_it("lock_table")["told"]
    assert visitor.break_it("change_prod")["told"].endswith("Another session holds public.orders. Release it first.")
    approve(visitor, number)
    visitor.wait(lambda: visitor.step("lock_table"))
    waited = visitor.world.stage.events("lock_waited")[0].data or {}
    assert waited["blockers"][0]["application"] == "reports"
    visitor.wait(lambda: "reports" in str(visitor.message(ANA, f"{number} · shop/prod")["blocks"]))

    assert f"while {number} was running" in visitor.break_it("kill_bot")["told"]
    assert columns(visitor) == before
    visitor.break_it("start_bot")
    assert visitor.break_it("release_table")["told"] == "The session “reports” has ended."
    assert visitor.break_it("release_table")["told"] == "Nobody holds the table."

    ends(visitor, number, "succeeded")
    assert len(columns(visitor)) > len(before)
    visitor.get("/api/log")
    assert visitor.step("run")
    assert visitor.step("schema")
    assert visitor.step("log")


def test_more_can_be_committed_and_asked_for(visitor: Visitor) -> None:
    names = []
    for _ in range(2):
        told = re.fullmatch(r"Mia committed \d{14}_add_(\w+)\.sql to main\.", visitor.break_it("new_migration")["told"])
        assert told is not None
        names.append(told[1])

    number = visitor.ask()
    approve(visitor, number)

    ends(visitor, number, "succeeded")
    assert columns(visitor)[-2:] == names
    told_next = visitor.break_it("edit_migration")["told"]
    assert re.match(r"Mia committed \d{14}_add_\w+\.sql to main\. Ana asked for a push to prod: R-", told_next)


def test_dropped_sockets_come_back(visitor: Visitor) -> None:
    assert re.match(r"[12] connections? between", visitor.break_it("drop_socket")["told"])

    visitor.wait(lambda: len(visitor.world.slack.sockets.live) == 2)
    assert visitor.say(ANA, "/migrate status")["error"] is None


def test_slack_that_is_down_comes_back(visitor: Visitor) -> None:
    """While it is down nothing arrives, and a bot that is started waits; nobody has to start it again."""
    visitor.post("/api/faults", down=True)
    assert visitor.state(ANA)["faults"]["down"]
    assert "dispatch_failed" in visitor.say(ANA, "/migrate status")["error"]
    visitor.wait(lambda: visitor.break_it("drop_socket")["told"] == "There is no connection to break.")
    visitor.break_it("kill_bot")
    assert visitor.break_it("start_bot")["told"] == "The bot has started and waits until Slack answers it."

    visitor.post("/api/faults", down=False)

    visitor.wait(lambda: len(visitor.world.slack.sockets.live) == 2)
    assert visitor.say(ANA, "/migrate status")["error"] is None


def test_slow_and_rate_limited_slack_delays_answers_only(visitor: Visitor) -> None:
    visitor.post("/api/faults", slow=True, rate_limited=True)
    assert visitor.state(ANA)["faults"] == {"down": False, "rate_limited": True, "slow": True}
    before = len(visitor.state(BEN)["messages"])
    assert visitor.say(BEN, "/migrate status")["error"] is None

    visitor.post("/api/faults", rate_limited=False)
    visitor.post("/api/faults", slow=False)

    visitor.wait(lambda: len(visitor.state(BEN)["messages"]) > before)
    assert visitor.state(BEN)["messages"][-1]["only_for_me"]
