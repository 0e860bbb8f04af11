"""Changes that nobody asked for here: noticed against what the log accounts for, told once, kept in the history."""

import signal
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from people_talk import ANA
from people_talk import card
from people_talk import cards
from people_talk import in_order
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import wait_for

from audit import Event
from audit import Log
from ops.layer import Ops
from ops.outside import accounted_state
from ops.outside import look
from ops.outside_memory import Memory
from ops.settings import load_settings
from ops.targets import Target
from ops.targets import find_target
from sandbox.stage import Stage

Make = Callable[..., Stage]


@contextmanager
def watched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ops, Target]]:
    """The dev target of a stage, looked at from this process."""
    for name, value in stage.environment.items():
        if name.endswith("DATABASE_URL"):
            monkeypatch.setenv(name, value)
    settings = load_settings(stage.config)
    with Log.open(stage.log_path) as log:
        yield Ops(settings, log), find_target(settings, "dev")


@pytest.fixture
def quiet(make_stage: Make) -> Stage:
    """A stage without the bot; dev has one migration of ours."""
    stage = small(make_stage, start=False)
    assert stage.cli("push", "dev", "--json").code == 0
    return stage


def seen(event: Event | None) -> tuple[str, list[str]]:
    assert event is not None
    data: dict[str, Any] = event.data or {}
    return event.kind, data.get("what", [])


def test_our_own_runs_are_no_change_from_outside(quiet: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet.migration("20260101000002_more.sql", "create table public.more (id int);\n")
    assert quiet.cli("push", "dev", "--json").json["status"] == "succeeded"
    with watched(quiet, monkeypatch) as (ops, target):
        event = look(ops, target)
        assert event is not None
        assert event.kind == "state_noted"
        assert look(ops, target) is None
    assert quiet.events("changed_outside") == []


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("alter table public.notes add column by_hand text", ["The schema was changed: 1 object."]),
        (
            "insert into supabase_migrations.schema_migrations(version, name) values ('20270101000000', 'pushed')",
            ["Migration 20270101000000_pushed was added to the history."],
        ),
        (
            "delete from supabase_migrations.schema_migrations",
            ["Migration 20260101000001_add_notes was taken out of the history."],
        ),
        (
            "update supabase_migrations.schema_migrations set statements = '{select 1}'",
            ["What the history says of migration 20260101000001_add_notes was changed."],
        ),
        ("create index by_hand on public.notes (id)", ["The schema was changed: 1 object."]),
        ("revoke select on public.notes from anon", ["The schema was changed: 1 object."]),
        ("insert into public.notes values (1)", []),
        ("comment on table public.notes is 'words alone'", []),
    ],
)
def test_a_change_by_hand_is_told_as_what_it_is(
    quiet: Stage, monkeypatch: pytest.MonkeyPatch, sql: str, words: list[str]
) -> None:
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target)
        quiet.sql("dev", sql)
        event = look(ops, target)
        if not words:
            assert event is None
            return
        assert seen(event) == ("changed_outside", words)
        assert look(ops, target) is None  # once


def test_the_changed_object_is_named(quiet: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target)
        quiet.sql("dev", "alter table public.notes add column by_hand text")
        event = look(ops, target)
    [found] = ((event.data if event else None) or {})["objects"]
    assert (found["change"], found["kind"], found["schema"], found["name"]) == ("changed", "table", "public", "notes")
    assert "by_hand" in found["words"]


def test_without_an_earlier_copy_it_is_said_that_objects_cannot_be_told(
    quiet: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target, remember=False)
        quiet.sql(
            "dev", "alter table public.notes add column by_hand text; delete from supabase_migrations.schema_migrations"
        )
        kind, what = seen(look(ops, target))
    assert kind == "changed_outside"
    assert any("which rows changed cannot be told any more" in one for one in what)
    assert any("which objects cannot be told" in one for one in what)


def test_a_row_of_ours_that_is_taken_out_is_noticed_before_it_was_ever_noted(
    quiet: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target)
        ops.log.close()
    quiet.migration("20260101000002_more.sql", "create table public.more (id int);\n")
    assert quiet.cli("push", "dev", "--json").json["status"] == "succeeded"
    quiet.sql("dev", "delete from supabase_migrations.schema_migrations where version like '%2'")
    with watched(quiet, monkeypatch) as (ops, target):
        kind, what = seen(look(ops, target))
    assert kind == "changed_outside"
    assert what == ["The row of migration 20260101000002, which we applied, is gone from the history."]


def test_a_change_beside_our_run_is_not_covered_by_it(quiet: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target)
    quiet.migration("20260101000002_more.sql", "create table public.more (id int);\n")
    assert quiet.cli("push", "dev", "--json").json["status"] == "succeeded"
    quiet.sql("dev", "alter table public.more add column by_hand int")
    with watched(quiet, monkeypatch) as (ops, target):
        assert seen(look(ops, target))[0] == "changed_outside"


def test_a_run_that_holds_the_target_is_left_alone(quiet: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does at this moment would look like a change from outside."""
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target)
        started = next(event for event in quiet.events("started") if event.stream == target.stream)
        ops.log.append([_as_draft(started)])
        quiet.sql("dev", "alter table public.notes add column by_hand text")
        assert look(ops, target) is None


def _as_draft(event: Event) -> Any:
    from audit import Draft

    return Draft(
        kind=event.kind,
        actor=event.actor,
        stream=event.stream,
        data=event.data or {},
        project=event.project,
        environment=event.environment,
        request=event.request,
    )


def test_what_is_remembered_is_for_our_eyes_alone(quiet: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(quiet, monkeypatch) as (ops, target):
        look(ops, target)
        folder = quiet.folder / "var" / "watched"
        assert folder.stat().st_mode & 0o077 == 0
        assert sorted(path.name for path in folder.iterdir()) == ["shop.dev.rows", "shop.dev.schema"]
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
        accounted = accounted_state(ops.view, target)
        assert accounted is not None
        for path in folder.iterdir():
            path.write_text('{"damaged": ')
        remembered = Memory(ops, target).of(accounted.history_sha256, accounted.schema_sha256)
        assert (remembered.rows, remembered.schema) == (None, None)


def test_a_plan_notices_it_and_the_channel_is_told_once(make_stage: Make) -> None:
    stage = small(make_stage, prod=rules(1, 'drift_check = "1h"'))
    wait_for(lambda: stage.events("state_noted"), 20)
    stage.sql("prod", "create table public.by_hand (secret text)")

    told(stage.slack.say(ANA, "/migrate plan prod"))

    shown = card(stage, "shop/prod was changed outside of Countersign")
    assert "The schema was changed: 2 objects." in shown
    assert "created table public.by_hand" in shown
    assert "drift prod" in shown
    told(stage.slack.say(ANA, "/migrate plan prod"))
    stage.stop_bot(signal.SIGKILL)
    stage.start_bot()
    settled(stage, 4.0)
    assert len(stage.events("changed_outside")) == 1
    assert len([one for one in cards(stage) if "changed outside" in stage.slack.render(one)]) == 1
    listed = stage.cli("history", "prod", "--json").json
    assert [one["what"] for one in listed["changed_outside"]] == [["The schema was changed: 2 objects."]]
    assert "changed outside" in stage.cli("history", "prod").out
    in_order(stage)


def test_a_bot_that_comes_back_notices_what_happened_meanwhile(make_stage: Make) -> None:
    stage = small(make_stage, prod=rules(1, 'drift_check = "1h"'))
    wait_for(lambda: stage.events("state_noted"), 20)
    stage.stop_bot()
    stage.sql("prod", "create table public.by_hand (id int)")
    stage.start_bot()
    assert "shop/prod was changed outside of Countersign" in card(stage, "changed outside")


def test_a_channel_that_became_shared_is_told_nothing(make_stage: Make) -> None:
    stage = small(make_stage, prod=rules(1, 'drift_check = "1h"'))
    wait_for(lambda: stage.events("state_noted"), 20)
    stage.slack.workspace.share_channel("deploys", "Otto")
    stage.sql("prod", "create table public.by_hand (id int)")
    told(stage.slack.say(ANA, "/migrate plan prod"))
    wait_for(lambda: stage.events("changed_outside"))
    settled(stage, 1.5)
    assert not [one for one in cards(stage) if "changed outside" in stage.slack.render(one)]


def test_a_change_that_cannot_be_told_does_not_end_the_watching(make_stage: Make) -> None:
    stage = small(make_stage, prod=rules(1, 'drift_check = "1h"'))
    wait_for(lambda: stage.events("state_noted"), 20)
    stage.slack.workspace.share_channel("deploys", "Otto")
    stage.sql("prod", "create table public.by_hand (id int primary key)")
    told(stage.slack.say(ANA, "/migrate plan prod"))
    wait_for(lambda: stage.events("changed_outside"))
    stage.stop_bot()
    stage.sql("prod", "create table public.more_by_hand (id int primary key)")
    stage.start_bot()
    wait_for(lambda: len(stage.events("changed_outside")) == 2, 20)
    settled(stage, 1.0)
    assert stage.bot_log.read_text().count("change_not_told") <= 6  # and not ten times a second
