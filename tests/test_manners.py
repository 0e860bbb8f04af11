"""How people are told: decisions and reminders directly, a clock that jumps, an hour without Slack, an archived channel."""

import signal
from collections.abc import Iterator
from datetime import datetime
from datetime import time
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import cards
from people_talk import in_order
from people_talk import kinds
from people_talk import rules
from people_talk import settled
from people_talk import thread
from people_talk import told
from people_talk import value_of
from people_talk import wait_for
from slack_rules import unsaid

from sandbox.page_clock import MovableClock
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

LONDON, TAIPEI = ZoneInfo("Europe/London"), ZoneInfo("Asia/Taipei")


@pytest.fixture(scope="module")
def world(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A bot on a Monday at ten in London, where Ben is; Chi is in Taipei. Two people have to say yes."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True, prod=rules(2), movable_clock=True) as stage:
        stage.migration("20260101000001_add_notes.sql", "create table public.notes (id int primary key);\n")
        go_to(stage, 0, time(10), LONDON)
        stage.start_bot()
        yield stage
        in_order(stage)
        assert unsaid(stage.slack.posts()) == []
        assert not any(word in stage.slack.everything_said() for word in ("<!here", "<!channel", "<!everyone"))


def clock(stage: Stage) -> MovableClock:
    assert stage.clock is not None
    return stage.clock


def go_to(stage: Stage, weekday: int | None, at: time, zone: ZoneInfo) -> datetime:
    """Move the clock forward to the next time that it is this hour there, on this day of the week or on any."""
    now = clock(stage).now().astimezone(zone)
    days = (now.date() + timedelta(days=ahead) for ahead in range(9))
    moments = (datetime.combine(day, at, zone) for day in days if weekday in {None, day.weekday()})
    wanted = next(moment for moment in moments if moment > now)
    return clock(stage).forward(int(wanted.timestamp() - clock(stage).seconds()) + 1)


def letters(stage: Stage, who: str) -> list[str]:
    """What the bot wrote to somebody directly, as they read it."""
    return [stage.slack.render(one) for one in stage.slack.direct(who).messages]


def test_each_decision_is_told_to_the_requester_directly_once(world: Stage) -> None:
    message = ask(world)
    number = str(world.events("requested")[-1].request)
    world.slack.fail("conversations.open", "internal_error")
    approve(world, BEN, number)
    wait_for(lambda: len(letters(world, ANA)) == 1, what="Ana was not told of the yes")
    assert f"{number} for shop/prod: approved, 1 of 2" in letters(world, ANA)[0]
    assert "@Ben approved" in letters(world, ANA)[0]
    assert "1 approval more" in letters(world, ANA)[0]
    assert f"p{message.ts.replace('.', '')}" in str(world.slack.direct(ANA).messages[0].blocks)
    said = world.slack.direct(ANA).messages[0].text
    assert all(word in said for word in (number, "shop/prod", "approved, 1 of 2", f"<@{BEN}>"))

    told(world.slack.say(CHI, f"/migrate reject {number} the index is missing"))
    wait_for(lambda: len(letters(world, ANA)) == 2, what="Ana was not told of the no")
    assert "rejected" in letters(world, ANA)[1]
    assert "the index is missing" in letters(world, ANA)[1]

    late = world.slack.forge(BEN, value=value_of(message, "approve"), action_id="approve", message_ts=message.ts)
    said = told(late)
    assert f"{number} was rejected at {clock(world).now():%Y-%m-%d}" in said
    assert "by @Chi" in said
    assert "Approved by @Ben at" in said
    settled(world)  # killed between sending and noting it, a bot would tell it twice rather than never
    world.stop_bot(signal.SIGKILL)
    world.start_bot()
    ask(world)
    told(world.slack.click(ANA, "Cancel", about="R-2"))
    card(world, "R-2 · shop/prod: cancelled")
    settled(world)
    history = thread(world, message)
    assert history.index("Approved, 1 of 2") < history.index(f"{number} is rejected")
    assert "the index is missing" in history
    assert f"{number} · shop/prod: rejected" in world.slack.render(world.slack.state.messages[message.ts])
    assert "R-2 is cancelled, nothing was run" in thread(world, cards(world)[-1])
    assert len(cards(world)) == 2  # one root message for each request
    assert len(letters(world, ANA)) == 2
    assert letters(world, BEN) + letters(world, CHI) == []


def test_who_can_still_act_is_reminded_twice_at_most_and_in_their_own_working_hours(world: Stage) -> None:
    go_to(world, 0, time(10), LONDON)
    ask(world)
    number = str(world.events("requested")[-1].request)

    def reminders() -> list[tuple[str, list[str]]]:
        found = [one.data or {} for one in world.events("reminded") if one.request == number]
        return [(str(one["share"]), list(one["to"])) for one in found]

    go_to(world, None, time(23), LONDON)  # more than half of the time is over; nobody is at work
    settled(world, 2.5)
    assert reminders() == []
    go_to(world, None, time(9, 5), TAIPEI)
    wait_for(lambda: letters(world, CHI), what="Chi was not reminded")
    assert reminders() == [("half", [CHI])]
    assert f"{number} for shop/prod waits for your yes or no" in letters(world, CHI)[0]
    assert "Approvals: 0 of 2" in letters(world, CHI)[0]
    approve(world, CHI, number)

    go_to(world, None, time(9, 5), LONDON)  # both moments of Ben were at night
    wait_for(lambda: letters(world, BEN), what="Ben was not reminded")
    assert reminders() == [("half", [CHI]), ("nine_tenths", [BEN])]
    assert "Approvals: 1 of 2" in letters(world, BEN)[0]
    assert (len(letters(world, BEN)), len(letters(world, CHI))) == (1, 1)

    go_to(world, None, time(10, 5), LONDON)
    wait_for(lambda: any(f"{number} for shop/prod: expired" in one for one in letters(world, ANA)))
    wait_for(lambda: f"{number} has expired, nothing was run" in thread(world, cards(world)[-1]))
    assert reminders() == [("half", [CHI]), ("nine_tenths", [BEN])]
    assert world.events("reminded")[-1].actor == "system:clock"


def test_a_clock_that_jumps_back_and_forth_revives_nothing_and_runs_nothing_twice(world: Stage) -> None:
    message = ask(world)
    number = str(world.events("requested")[-1].request)
    approve(world, BEN, number)
    value = value_of(message, "approve")
    clock(world).forward(25 * 3600)
    wait_for(lambda: kinds(world, number)[-1] == "expired")
    set_back(world, 49 * 3600)

    late = world.slack.forge(CHI, value=value, action_id="approve", message_ts=message.ts)

    assert f"{number} expired at" in told(late)
    assert "with 1 of 2 approvals. Nothing was run." in told(late)
    ask(world)
    again = str(world.events("requested")[-1].request)
    approve(world, BEN, again)
    clock(world).forward(3 * 3600)
    set_back(world, 2 * 3600)
    assert "You approved" in approve(world, BEN, again)
    told(world.slack.say(CHI, f"/migrate reject {again} not now"))
    assert kinds(world, again) == ["requested", "approved", "rejected"]
    assert kinds(world, number) == ["requested", "approved", "expired"]
    times = [one.at for one in world.events()]
    assert times == sorted(times)
    assert world.cli("audit", "verify", "--json").json["ok"] is True


def set_back(stage: Stage, seconds: int) -> None:
    """The clock steps back, as one does that was set by hand."""
    path = stage.folder / "clock"
    fresh = path.with_suffix(".back")
    fresh.write_text(str(int(path.read_text()) - seconds))
    fresh.replace(path)


def test_an_hour_without_slack_leaves_one_true_card_and_its_whole_thread(world: Stage) -> None:
    message = ask(world)
    number = str(world.events("requested")[-1].request)
    before, root = len(cards(world)), len(letters(world, ANA))
    approve(world, BEN, number)
    wait_for(lambda: "Approved, 1 of 2" in thread(world, message))
    world.slack.down = True
    assert world.cli("cancel", number, "--json").code == 0
    clock(world).forward(3600)
    world.slack.down = False

    card(world, f"{number} · shop/prod: cancelled", 40)
    wait_for(lambda: len(letters(world, ANA)) == root + 2, 40, "Ana did not hear of both decisions")
    assert len(cards(world)) == before
    assert "[Approve" not in world.slack.render(world.slack.state.messages[message.ts])
    wait_for(lambda: world.slack.say(ANA, "/migrate status").error is None, 20)


def test_a_channel_that_is_archived_decides_nothing_and_its_card_is_made_good_afterwards(world: Stage) -> None:
    message = ask(world)
    number = str(world.events("requested")[-1].request)
    before = len(cards(world))
    world.slack.workspace.change_channel("deploys", is_archived=True)
    assert world.cli("cancel", number, "--json").code == 0
    wait_for(lambda: f"card_postponed request={number} error=chat.update: is_archived" in world.bot_log.read_text())
    assert ": cancelled" not in world.slack.render(world.slack.state.messages[message.ts])
    world.slack.workspace.change_channel("deploys", is_archived=False)

    card(world, f"{number} · shop/prod: cancelled", 40)
    assert len(cards(world)) == before
