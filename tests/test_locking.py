"""Locking a target: nothing starts there until the lock's end, what waits then starts, and who may lock and unlock."""

import signal
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import GUS
from people_talk import applied
from people_talk import approve
from people_talk import ask
from people_talk import at_once
from people_talk import card
from people_talk import in_order
from people_talk import kinds
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import wait_for
from run_support import FIRST
from run_support import RAN
from run_support import at_work
from run_support import push_json
from run_support import pushing
from run_support import slow
from run_support import told as told_at_terminal

from audit import Draft
from audit import Log
from audit import Reader
from ops.locking import lock_of
from sandbox.stage import Stage

Make = Callable[..., Stage]


def test_a_push_to_a_locked_target_says_who_locked_it_until_when_and_why(make_stage: Make) -> None:
    stage = small(make_stage)
    answer = told(stage.slack.say(CHI, "/migrate lock prod for 2h the import is running"))
    assert "shop/prod is locked" in answer
    assert "Reason: the import is running" in answer

    refused = told(stage.slack.say(ANA, "/migrate push prod"))

    assert "Busy: nothing was done" in refused
    assert "shop/prod is locked by @Chi until" in refused
    assert "UTC: the import is running." in refused
    assert "unlock prod" in refused
    ran = stage.cli("push", "prod", "--json")
    assert (ran.code, ran.json["status"], ran.json["reason"]) == (5, "busy", "target_locked")
    assert stage.events("requested") == []
    [event] = stage.events("locked")
    assert (event.stream, event.actor, event.request) == ("target:shop/prod", "slack:T0ACME/U0CHI", None)
    until = datetime.fromisoformat((event.data or {})["until"])
    assert timedelta(hours=2) - timedelta(seconds=5) < until - event.at < timedelta(hours=2, seconds=5)
    assert stage.cli("push", "dev", "--json").code == 0  # another target is free
    in_order(stage)


def test_time_counts_without_the_word_for(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    lock = stage.cli("lock", "dev", "2h", "the", "import", "--json").json["lock"]
    assert lock["because"] == "the import"
    lasts = datetime.fromisoformat(lock["until"]) - datetime.fromisoformat(lock["at"])
    assert abs(lasts - timedelta(hours=2)) < timedelta(seconds=5)


@pytest.mark.parametrize("words", ["for -2h", "for", "for two hours", "until 17:00", "2hours", "for 2 hours", "for 8d"])
def test_a_time_that_is_none_is_told_and_not_taken_for_a_reason(make_stage: Make, words: str) -> None:
    stage = small(make_stage, start=False)
    ran = stage.cli("lock", "dev", *words.split(), "--json")
    assert (ran.code, ran.json["reason"]) == (2, "bad_usage")
    assert stage.events("locked") == []


def test_who_holds_the_lock_may_not_push_either(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    assert stage.cli("lock", "dev", "--json").code == 0
    found = push_json(stage)
    assert (found["code"], found["reason"]) == (5, "target_locked")
    assert stage.events("requested") == []
    assert stage.cli("unlock", "dev", "--json").json["lock"] is None
    assert push_json(stage)["status"] == "succeeded"


def test_looking_is_as_ever_while_a_target_is_locked(make_stage: Make) -> None:
    stage = small(make_stage)
    told(stage.slack.say(CHI, "/migrate lock prod"))
    assert "1 migration" in told(stage.slack.say(ANA, "/migrate plan prod"))
    status = told(stage.slack.say(ANA, "/migrate status prod"))
    assert "by @Chi until" in status
    [found] = stage.cli("status", "--json", "prod").json["targets"]
    assert found["lock"]["by"] == "slack:T0ACME/U0CHI"
    assert stage.cli("status", "dev", "--json").json["targets"][0]["lock"] is None


def test_an_approved_request_waits_for_the_lock_and_starts_when_it_is_released(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    told(stage.slack.say(CHI, "/migrate lock prod"))
    assert "It has all it needs and starts when the lock of shop/prod ends." in approve(stage, BEN)
    settled(stage, 2)
    assert kinds(stage) == ["requested", "approved"]

    assert "shop/prod is unlocked; R-1 can start now" in told(stage.slack.say(CHI, "/migrate unlock prod all done"))

    card(stage, "R-1 · shop/prod: done")
    assert applied(stage)
    assert refusals(stage) == []
    in_order(stage)


def test_an_approved_request_starts_when_the_lock_runs_out(make_stage: Make) -> None:
    stage = small(make_stage, movable_clock=True)
    ask(stage)
    told(stage.slack.say(CHI, "/migrate lock prod for 2h"))
    approve(stage, BEN)
    settled(stage, 2)
    assert kinds(stage) == ["requested", "approved"]

    assert stage.clock is not None
    stage.clock.forward(2 * 3600)

    card(stage, "R-1 · shop/prod: done")
    assert stage.events("unlocked") == []


def test_a_lock_holds_across_a_kill_of_the_bot(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    told(stage.slack.say(CHI, "/migrate lock prod"))
    approve(stage, BEN)
    stage.stop_bot(signal.SIGKILL)
    stage.start_bot()
    settled(stage, 2)
    assert kinds(stage) == ["requested", "approved"]
    told(stage.slack.say(CHI, "/migrate unlock prod"))
    card(stage, "R-1 · shop/prod: done")


def test_a_run_whose_runner_died_waits_for_the_end_of_a_lock(make_stage: Make) -> None:
    """Whoever locks because the bot died does not want the rest of the run to come by itself."""
    stage = small(make_stage)
    stage.migration("20260101000002_slow.sql", slow(3).replace("ran", "notes"))
    ask(stage)
    approve(stage, BEN)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    stage.stop_bot(signal.SIGKILL)
    assert stage.cli("lock", "prod").code == 0
    stage.start_bot()
    settled(stage, 4)
    assert stage.events("resumed", "succeeded", "failed") == []
    assert stage.cli("unlock", "prod").code == 0
    wait_for(lambda: stage.events("resumed"), 30)


def test_of_two_who_lock_at_one_instant_one_holds_it(make_stage: Make) -> None:
    stage = small(make_stage)
    answers = at_once(*(lambda who=who: stage.slack.say(who, "/migrate lock prod") for who in (ANA, DEE)))
    assert sorted("shop/prod is locked\n" in one or "Busy" not in one for one in answers) == [False, True]
    assert len(stage.events("locked")) == 1
    assert refusals(stage) == ["target_locked"]
    in_order(stage)


def test_only_who_locked_it_unlocks_it(make_stage: Make) -> None:
    stage = small(make_stage)
    assert "shop/prod is not locked" in told(stage.slack.say(DEE, "/migrate unlock prod"))
    told(stage.slack.say(ANA, "/migrate lock prod"))
    assert "Only who locked it may unlock it before." in told(stage.slack.say(DEE, "/migrate unlock prod"))
    ran = stage.cli("unlock", "prod", "--json")
    assert (ran.code, ran.json["reason"]) == (3, "not_allowed")
    assert "shop/prod is locked by @Ana" in told(stage.slack.say(DEE, "/migrate lock prod for 1d"))
    told(stage.slack.say(ANA, "/migrate lock prod for 3d longer"))
    assert "shop/prod is unlocked" in told(stage.slack.say(ANA, "/migrate unlock prod"))
    assert [one.kind for one in stage.events("locked", "unlocked")] == ["locked", "locked", "unlocked"]
    assert refusals(stage) == ["not_allowed", "not_allowed", "target_locked"]
    in_order(stage)


def test_who_locked_at_a_terminal_is_to_unlock_there(make_stage: Make) -> None:
    stage = small(make_stage)
    by = stage.cli("lock", "prod", "--json").json["lock"]["by"]
    for words in ("push prod", "unlock prod"):
        answer = told(stage.slack.say(ANA, f"/migrate {words}"))
        assert f"{by} to type countersign unlock prod" in answer.replace("`", "")
        assert "/migrate unlock" not in answer
    assert f"ask {by} to type countersign unlock prod." in stage.cli("push", "prod").err.replace("\n", " ")
    in_order(stage)


def test_a_person_is_one_at_both_fronts(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    login = stage.cli("lock", "prod", "--json").json["lock"]["by"].rpartition("/")[2]
    text = stage.config.read_text()
    stage.config.write_text(text.replace("[people]\n", f'[people]\n"{login}" = "U0DEE"\n'))
    stage.start_bot()
    assert "Only who locked it" in told(stage.slack.say(ANA, "/migrate unlock prod"))
    assert "shop/prod is unlocked" in told(stage.slack.say(DEE, "/migrate unlock prod"))


def test_who_may_not_push_there_may_not_lock(make_stage: Make) -> None:
    stage = small(make_stage, rules(1, 'requesters = ["U0ANA"]'))
    assert "you are a guest" in told(stage.slack.say(GUS, "/migrate lock prod", forged=True))
    assert "You may not request anything on shop/prod." in told(stage.slack.say(BEN, "/migrate lock prod"))
    assert "You may not request anything on shop/prod." in told(stage.slack.say(BEN, "/migrate unlock prod"))
    assert stage.events("locked") == []


def test_a_run_that_is_under_way_goes_on_and_the_locker_is_told(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN + slow(4))
    with pushing(stage) as process:
        wait_for(at_work(stage, "dev", "pg_sleep"))
        ran = stage.cli("lock", "dev", "for", "1h", "--json")
        after = told_at_terminal(process)
    assert (ran.code, ran.json["running"]) == (0, "R-1")
    assert after["status"] == "succeeded"


def test_what_is_said_of_a_lock_is_how_long_and_why(make_stage: Make) -> None:
    stage = small(make_stage)
    wrong = {
        "lock": "Say which environment to lock.",
        "lock pord": "Did you mean prod?",
        "lock prod for 8d": "A lock holds for 7 days at most.",
        "lock prod for 2 hours": "'2' is no time that a lock can hold for.",
        "lock prod for 2hours": "'2hours' is no time that a lock can hold for.",
        "lock prod for 0h": "'0h' is no time that a lock can hold for.",
        "unlock": "Say which environment to unlock.",
    }
    for line, words in wrong.items():
        assert words in told(stage.slack.say(CHI, f"/migrate {line}")), line
    assert stage.events("locked") == []

    said = {
        "": (4, ""),
        "for 30m": (0.5, ""),
        "for 2h the import": (2, "the import"),
        "for 7D": (168, ""),
        "for the import of Ana": (4, "for the import of Ana"),
        "until Monday TOKEN=hunter2hunter2": (4, "until Monday TOKEN=«masked: value»"),
    }
    for words, (hours, because) in said.items():
        told(stage.slack.say(CHI, f"/migrate lock prod {words}"))
        event = stage.events("locked")[-1]
        found = event.data or {}
        lasts = datetime.fromisoformat(found["until"]) - event.at
        assert abs(lasts - timedelta(hours=hours)) < timedelta(seconds=5), words
        assert found["because"] == because
    in_order(stage, "hunter2")


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _event(log: Log, kind: str, actor: str, environment: str = "prod", **data: str) -> None:
    stream = f"target:shop/{environment}"
    log.append([Draft(kind=kind, actor=actor, stream=stream, project="shop", environment=environment, data=data)])


def test_the_lock_is_the_fold_of_the_targets_events_and_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    Log.create(path)
    with Log.open(path) as log:
        view = Reader(path)
        assert lock_of(view, "shop", "prod", NOON) is None
        _event(log, "locked", "os:host/ana", because="", until=(NOON + timedelta(hours=1)).isoformat())
        _event(log, "locked", "os:host/ben", "dev", because="", until=(NOON + timedelta(days=1)).isoformat())
        _event(log, "unlocked", "os:host/ben", "dev", because="")
        found = lock_of(view, "shop", "prod", NOON)
        assert found is not None
        assert (found.by.id, found.until, found.because) == ("os:host/ana", NOON + timedelta(hours=1), "")
        assert lock_of(view, "shop", "prod", NOON + timedelta(hours=1)) is None
        assert lock_of(view, "shop", "dev", NOON) is None
        _event(log, "locked", "os:host/ana", because="longer", until=(NOON + timedelta(days=2)).isoformat())
        longer = lock_of(view, "shop", "prod", NOON + timedelta(hours=30))
        assert longer is not None
        assert longer.because == "longer"
        _event(log, "unlocked", "os:host/ana", because="")
        assert lock_of(view, "shop", "prod", NOON) is None


def test_card_says_that_its_target_is_locked_and_that_it_no_longer_is(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    stage.slack.say(DEE, "/migrate lock prod for 2h the import is running")

    locked = card(stage, "the import is running")
    assert "Locked: by @Dee until " in locked
    approve(stage, BEN)
    assert "Next: it starts when the lock ends; @Dee can end it before with /migrate unlock prod." in card(
        stage, "R-1 · shop/prod: approved, waits for a lock to end"
    )
    stage.slack.say(DEE, "/migrate unlock prod")
    assert "Locked" not in card(stage, "R-1 · shop/prod: done")
