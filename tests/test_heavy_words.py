"""What takes minutes waits in a line of its own; who decides, stops or looks never waits behind it."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import answers
from people_talk import ask
from people_talk import in_order
from people_talk import refusals
from people_talk import rules
from people_talk import small
from people_talk import told
from people_talk import wait_for
from test_door import House
from test_door import house

from bot.heavy import PLACES_OF_ONE
from bot.heavy import HeavyLine
from commands.dispatch import HEAVY
from commands.dispatch import is_heavy
from commands.door import HEAVY_GUESTS_OF_ONE
from commands.words import declared_words
from sandbox.stage import Stage

Make = Callable[..., Stage]


# --- which words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["drift prod", "/Drift prod", '"drift" prod', "dri''ft prod", "“plan” prod", " push prod"]
)
def test_a_heavy_word_is_known_however_it_is_typed(line: str) -> None:
    assert is_heavy(line)


@pytest.mark.parametrize(
    "line", ["", "stop R-1", "reject R-1 plan", "approve R-1", "status", 'plan "prod', "plan " * 900]
)
def test_all_else_is_light(line: str) -> None:
    assert not is_heavy(line)


def test_heavy_words_are_words() -> None:
    assert set(declared_words()) > HEAVY
    assert not HEAVY & {"approve", "reject", "cancel", "stop", "lock", "unlock", "status", "show", "help", "history"}


# --- the line --------------------------------------------------------------------------------------------------------


def test_one_piece_of_one_persons_is_done_at_a_time_and_nobody_waits_for_anothers() -> None:
    gates = {name: Event() for name in ("ana 1", "ana 2", "ben 1")}
    begun: list[str] = []

    def work(name: str) -> Callable[[], None]:
        def begin() -> None:
            begun.append(name)
            assert gates[name].wait(20)

        return begin

    with ThreadPoolExecutor(4) as pool:
        line = HeavyLine(pool)
        for name in ("ana 1", "ana 2", "ben 1"):
            assert line.put(name[:3], work(name))
        wait_for(lambda: len(begun) == 2)
        assert sorted(begun) == ["ana 1", "ben 1"]
        gates["ben 1"].set()
        gates["ana 1"].set()
        wait_for(lambda: len(begun) == 3)
        gates["ana 2"].set()
    assert begun[2] == "ana 2"


def test_the_line_is_bounded_for_all_and_for_each_and_done_to_the_end_when_it_closes() -> None:
    over, done = Event(), []
    with ThreadPoolExecutor(1) as pool:
        line = HeavyLine(pool, places=5, places_of_one=3)
        begun = Event()

        def first() -> None:
            begun.set()
            over.wait(20)

        assert line.put("dee", first)
        assert begun.wait(20)
        assert [line.put("ana", lambda: done.append("ana")) for _ in range(5)] == [True, True, True, False, False]
        assert [line.put("ben", lambda: done.append("ben")) for _ in range(3)] == [True, True, False]
        over.set()
    assert done == ["ana", "ana", "ana", "ben", "ben"]


# --- people ----------------------------------------------------------------------------------------------------------


__all__ = ["house"]


def waiting_on_the_target(make_stage: Make) -> Stage:
    """A stage with a request that waits, and a target on which no plan gets through until its table is let go."""
    stage = small(make_stage, rules(2))
    ask(stage)
    return stage


def locked(stage: Stage) -> Callable[[], None]:
    """Nobody reads the history until what is returned is called."""
    connection = psycopg.connect(stage.postgres.url(stage.databases["prod"]))
    connection.execute("create schema if not exists supabase_migrations")
    connection.execute("create table if not exists supabase_migrations.schema_migrations (version text primary key)")
    connection.commit()
    connection.execute("lock table supabase_migrations.schema_migrations in access exclusive mode")

    def let_go() -> None:
        connection.rollback()
        connection.close()

    return let_go


def test_who_decides_is_answered_while_twelve_plans_wait(make_stage: Make) -> None:
    stage = waiting_on_the_target(make_stage)
    let_go = locked(stage)
    people = [ANA, BEN, CHI, "U0DEE"]
    try:
        plans = [stage.slack.say(people[number % 4], "/migrate plan prod") for number in range(12)]
        assert [one.error for one in plans] == [None] * 12
        wait_for(lambda: _at_work(stage) >= 4, 20)

        rejected = stage.slack.say(BEN, "/migrate reject R-1 it can wait")
        assert "R-1 is rejected" in told(rejected)
        assert "Nothing waits, nothing runs" in told(stage.slack.say(CHI, "/migrate status"))
        assert [answers(one) for one in plans] == [[]] * 12, "none of them has been answered"
    finally:
        let_go()
    for one in plans:
        assert "Plan for shop/prod" in told(one)
    in_order(stage)


def _at_work(stage: Stage) -> int:
    query = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'countersign%'"
    )
    return int(stage.sql("prod", query)[0][0])


def test_a_line_that_is_full_says_that_it_is_busy_and_the_rest_is_done(make_stage: Make) -> None:
    stage = waiting_on_the_target(make_stage)
    let_go = locked(stage)
    try:
        plans = [stage.slack.say(ANA, "/migrate plan prod") for _ in range(PLACES_OF_ONE + 3)]
        wait_for(lambda: sum(1 for one in plans if answers(one)) == 2)
        busy = [text for one in plans for text in answers(one)]
        assert ["Too many plans and comparisons wait already" in text for text in busy] == [True, True]
        assert refusals(stage) == ["target_busy"] * 2
    finally:
        let_go()
    for one in plans:
        assert told(one)
    in_order(stage)


def test_what_waited_in_the_line_when_the_bot_died_is_answered_after_it(make_stage: Make) -> None:
    stage = waiting_on_the_target(make_stage)
    let_go = locked(stage)
    try:
        plans = [stage.slack.say(who, "/migrate plan prod") for who in (ANA, ANA, ANA, BEN)]
        wait_for(lambda: _at_work(stage) >= 2, 20)
        stage.stop_bot(signal.SIGKILL)
    finally:
        let_go()
    stage.start_bot()
    for one in plans:
        assert "Plan for shop/prod" in told(one)
    in_order(stage)


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_the_door_keeps_places_for_who_decides(house: House) -> None:
    """Eight of this user's plans are under way."""
    house.door._heavy = [os.getuid()] * HEAVY_GUESTS_OF_ONE

    busy = house.knock("plan", "dev")
    looked = house.knock("status")

    assert busy is not None
    assert looked is not None
    assert (busy["exit_code"], busy["reply"]["reason"]) == (5, "target_busy")
    assert looked["exit_code"] == 0
    assert [event.data["reason"] for event in house.events("refused") if event.data] == ["target_busy"]
    house.door._heavy = [1] * HEAVY_GUESTS_OF_ONE
    planned = house.knock("plan", "dev", seconds=20)
    assert planned is not None
    assert planned["reply"]["reason"] != "target_busy"
    assert house.door._heavy == [1] * HEAVY_GUESTS_OF_ONE
