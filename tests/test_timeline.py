"""When a run did what: folded from the log, shown as text, drawn as a picture, and put into the thread by the bot."""

import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from people_talk import BEN
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import small
from people_talk import wait_for

from audit import Event
from audit import Reader
from commands.timeline import timeline_json
from commands.timeline import timeline_picture
from commands.timeline import timeline_text
from ops.errors import OpsError
from ops.errors import Reason
from ops.requests import find_request
from ops.requests import stream_of
from ops.timeline import FILES_SHOWN
from ops.timeline import Timeline
from ops.timeline import timeline_of
from sandbox.stage import Stage

BEGAN = datetime(2026, 11, 22, 13, 52, 1, tzinfo=UTC)
BLOCKER = {
    "pid": 4411,
    "application": "reports",
    "user": "app",
    "state": "active",
    "transaction_seconds": 60.0,
    "query": "select",
}


def happened(*told: tuple[float, str, dict[str, Any]], files: int = 1) -> list[Event]:
    """A request's events: (seconds after the start of the run, kind, data)."""
    names = [{"version": f"{n}", "filename": f"{n}_name.sql"} for n in range(1, files + 1)]
    first = (-60.0, "requested", {"plan": {"files": names}})
    return [
        Event(
            seq=place,
            id=str(place),
            at=BEGAN + timedelta(seconds=seconds),
            kind=kind,
            actor="system:runner",
            project="shop",
            environment="prod",
            request="R-1",
            stream="request:R-1",
            place=place,
            data=data,
            commitment="",
            previous="",
            hash="",
        )
        for place, (seconds, kind, data) in enumerate([first, (0.0, "started", {}), *told], start=1)
    ]


def step(name: str, attempt: int = 1) -> dict[str, Any]:
    return {"step": name, "attempt": attempt}


def sent(version: int = 1) -> dict[str, Any]:
    return {"version": str(version)}


def finished(version: int = 1, outcome: str = "done", *each_seconds: float) -> dict[str, Any]:
    numbers = list(range(len(each_seconds)))
    return {
        "version": str(version),
        "outcome": outcome,
        "statements": numbers,
        "seconds": 1,
        "each_seconds": list(each_seconds),
    }


def shown(timeline: Timeline | None) -> list[tuple[str, float, float, str]]:
    assert timeline is not None
    return [(bar.label, round(bar.start_seconds, 2), round(bar.seconds, 2), bar.outcome) for bar in timeline.bars]


def test_request_that_never_ran_has_no_timeline() -> None:
    assert timeline_of(happened()[:1]) is None


def test_statements_stand_below_their_file_one_after_the_other() -> None:
    events = happened(
        (1.0, "step_started", step("migrate")),
        (1.0, "statement_sent", sent()),
        (2.5, "statement_finished", finished(1, "done", 0.5, 1.0)),
        (2.6, "migration_applied", {"version": "1"}),
        (2.6, "step_finished", {**step("migrate"), "seconds": 1.6}),
    )

    assert shown(timeline_of(events)) == [
        ("migrate", 1.0, 1.6, "done"),
        ("1_name.sql", 1.0, 1.6, "done"),
        ("statement 1", 1.0, 0.5, "done"),
        ("statement 2", 1.5, 1.0, "done"),
    ]


def test_tries_for_one_lock_are_one_wait() -> None:
    waited = {"version": "1", "blockers": [BLOCKER]}
    events = happened(
        (0.0, "step_started", step("migrate")),
        (0.0, "statement_sent", sent()),
        (0.1, "statement_finished", finished(1, "rolled_back", 0.09)),
        (0.1, "lock_waited", waited),
        (1.0, "statement_sent", sent()),
        (1.1, "statement_finished", finished(1, "rolled_back", 0.09)),
        (1.1, "lock_waited", waited),
        (3.0, "statement_sent", sent()),
        (3.2, "statement_finished", finished(1, "done", 0.1, 0.1)),
        (3.2, "migration_applied", {"version": "1"}),
        (3.2, "step_finished", {**step("migrate"), "seconds": 3.2}),
    )

    found = timeline_of(events)

    assert shown(found)[2:] == [
        ("waited for a lock", 0.0, 3.0, "waited"),
        ("statement 1", 3.0, 0.1, "done"),
        ("statement 2", 3.1, 0.1, "done"),
    ]
    assert found is not None
    assert found.waited_seconds == pytest.approx(3.0)
    assert "pid 4411 (reports, user app, active) for 60 s" in timeline_text(found)


def test_file_in_the_session_of_others_begins_when_the_one_before_it_ends() -> None:
    """All three are sent together; only the second waited, and the third is not drawn with its neighbour's wait."""
    sent = [(0.1, "statement_sent", {"version": f"{n}", "statements": [0]}) for n in (1, 2, 3)]
    ends = {n: {"version": f"{n}", "statements": [0], "seconds": 0.1, "outcome": "done"} for n in (1, 2, 3)}
    found = timeline_of(
        happened(
            (0.0, "step_started", step("migrate")),
            *sent,
            (0.2, "statement_finished", ends[1]),
            (4.0, "lock_waited", {"version": "2", "seconds": 3.8, "blockers": [BLOCKER]}),
            (4.0, "statement_sent", {"version": "2", "statements": [0]}),
            (5.0, "statement_finished", ends[2]),
            (5.1, "statement_finished", ends[3]),
            files=3,
        )
    )
    assert found is not None
    files = {
        bar.label: (round(bar.start_seconds, 1), round(bar.seconds, 1)) for bar in found.bars if bar.kind == "file"
    }
    assert files == {"1_name.sql": (0.1, 0.1), "2_name.sql": (0.2, 4.8), "3_name.sql": (5.0, 0.1)}


def test_step_that_was_broken_off_lasts_until_the_end() -> None:
    events = happened((0.5, "step_started", step("backup")), (4.0, "interrupted", {}))

    assert shown(timeline_of(events)) == [("backup", 0.5, 3.5, "broken off")]


@pytest.mark.parametrize(("reason", "outcome"), [("stopped", "stopped"), ("sql_failed", "failed")])
def test_step_that_a_person_stopped_did_not_fail(reason: str, outcome: str) -> None:
    events = happened(
        (0.5, "step_started", step("migrate")),
        (2.0, "step_failed", {**step("migrate"), "seconds": 1.5, "reason": reason}),
    )

    assert shown(timeline_of(events)) == [("migrate", 0.5, 1.5, outcome)]


def test_second_attempt_is_told_apart() -> None:
    events = happened((0.5, "step_started", step("backup")), (4.0, "step_started", step("backup", attempt=2)))

    assert [label for label, *_ in shown(timeline_of(events))] == ["backup", "backup, attempt 2"]


def test_of_many_files_the_longest_are_shown_and_the_rest_counted() -> None:
    told: list[tuple[float, str, dict[str, Any]]] = [(0.0, "step_started", step("migrate"))]
    for number in range(1, 101):
        seconds = 2.0 if number == 50 else 0.1
        began = told[-1][0]
        told += [(began, "statement_sent", sent(number)), (began + seconds, "migration_applied", sent(number))]

    lines = shown(timeline_of(happened(*told, files=100)))

    assert len(lines) == 1 + FILES_SHOWN + 1
    assert ("50_name.sql", 4.9, 2.0, "done") in lines
    assert lines[-1][0] == "86 more files"


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path, make_stage: Callable[..., Stage]) -> None:
    """A dollar sign begins no formula, a control character moves nothing, a long name is cut."""
    stage = small(make_stage, rules(0))
    assert stage.cli("push", "prod").code == 0
    request = find_request(Reader(stage.log_path), "R-1")
    found = timeline_of(Reader(stage.log_path).events(stream=stream_of("R-1")))
    assert found is not None
    bars = [replace(bar, label=label) for bar, label in zip(found.bars, HOSTILE, strict=False)]

    picture = timeline_picture(timeline_json(request, replace(found, bars=tuple(bars))), tmp_path / "cache")

    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert 600 < width < 2000
    assert 100 < height < 2000


HOSTILE = ["$\\frac{1}{0}$ and $", "\x1b[2J\u202emove", "ש" * 300, "\ud800 alone"]


def test_picture_that_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    with pytest.raises(OpsError) as caught:
        timeline_picture({"title": "nothing"}, tmp_path)

    assert caught.value.reason is Reason.PICTURE_FAILED


def test_run_that_waited_has_its_picture_in_the_thread_and_in_show(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, start=False)
    stage.migration("20260101000002_more.sql", "alter table public.notes add column body text;\n")
    stage.sql("prod", "create table public.other (id int)")
    stage.migration("20260101000003_other.sql", "alter table public.other add column body text;\n")
    stage.start_bot()
    root = ask(stage)
    with closing(psycopg.connect(stage.postgres.url(stage.databases["prod"]), application_name="reports")) as session:
        session.execute("LOCK TABLE public.other IN ACCESS SHARE MODE")
        stage.slack.click(BEN, "Approve", about="R-1")
        wait_for(lambda: stage.events("lock_waited"))
    card(stage, "R-1 · shop/prod: done")

    wait_for(lambda: pictures(stage), 20, "no picture came")
    [file] = pictures(stage)
    assert file.thread_ts == root.ts
    assert (file.content or b"").startswith(b"\x89PNG")
    said = stage.slack.say(BEN, "/migrate show R-1")
    assert said.says("waited for a lock")
    assert said.says(r"reports")
    images = [block for message in said.messages() for block in message.blocks if block["type"] == "image"]
    assert [block["slack_file"] for block in images] == [{"id": file.id}]
    assert "R-1 · shop/prod: done, " in images[0]["alt_text"]
    in_order(stage)

    del stage.slack.state.files[file.id]  # somebody deleted it: the answer comes without
    again = stage.slack.say(BEN, "/migrate show R-1")
    assert again.says("waited for a lock")
    assert [block["type"] for block in again.messages()[-1].blocks if block["type"] == "image"] == []


def pictures(stage: Stage) -> list[Any]:
    return [file for file in stage.slack.channel("deploys").files if file.name == "R-1-timeline.png"]


def test_time_in_which_nobody_ran_is_no_wait_and_no_part_of_a_step() -> None:
    """The bot was killed while it waited for a lock, and started again eight seconds later."""
    events = happened(
        (1.0, "step_started", step("migrate")),
        (1.0, "statement_sent", sent()),
        (1.1, "statement_finished", finished(1, "rolled_back", 0.09)),
        (1.1, "lock_waited", {"version": "1", "blockers": [BLOCKER]}),
        (10.0, "resumed", {}),
        (10.1, "step_started", step("migrate", attempt=2)),
        (10.1, "statement_sent", sent()),
        (10.4, "statement_finished", finished(1, "done", 0.3)),
        (10.4, "migration_applied", {"version": "1"}),
        (10.5, "step_finished", {**step("migrate", attempt=2), "seconds": 0.4}),
    )

    found = timeline_of(events)

    assert shown(found) == [
        ("migrate", 1.0, 0.1, "broken off"),
        ("1_name.sql", 1.0, 0.1, "broken off"),
        ("waited for a lock", 1.0, 0.1, "waited"),
        ("nobody ran it", 1.1, 8.9, "taken up again"),
        ("migrate, attempt 2", 10.1, 0.4, "done"),
        ("1_name.sql", 10.1, 0.3, "done"),
    ]
    assert found is not None
    assert found.waited_seconds == pytest.approx(0.1)


def test_show_writes_the_picture_where_it_is_told_and_spares_other_files(
    tmp_path: Path, make_stage: Callable[..., Stage]
) -> None:
    stage = small(make_stage, rules(0), start=False)
    assert stage.cli("push", "prod").code == 0
    picture, other = tmp_path / "run.png", tmp_path / "notes.txt"
    other.write_text("mine")

    for _ in range(2):  # the second time over the first
        ran = stage.cli("show", "R-1", "--picture", str(picture), "--json")
        assert (ran.code, ran.json["picture"]) == (0, str(picture))
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"Picture: {picture}" in stage.cli("show", "R-1", "--picture", str(picture)).out

    for file in (other, tmp_path, tmp_path / "no" / "folder.png"):
        refused = stage.cli("show", "R-1", "--picture", str(file), "--json")
        assert (refused.code, refused.json["reason"]) == (2, "bad_usage")
    assert other.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [other, picture]


def test_request_that_never_ran_has_no_picture(tmp_path: Path, make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, start=False)
    assert stage.cli("push", "prod").code == 0

    ran = stage.cli("show", "R-1", "--picture", str(tmp_path / "run.png"), "--json")

    assert (ran.code, ran.json["reason"]) == (1, "picture_failed")
    assert list(tmp_path.iterdir()) == []
