"""What Supabase itself keeps of a project: listed, a restore point before a run, and a restore that people ask for."""

import time
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from typing import Any

import pytest
from run_support import at_start
from supabase_support import managed

from ops.errors import OpsError
from ops.kinds.restore_managed import Back
from ops.kinds.restore_managed import back_to
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

Make = Callable[..., Stage]

NOBODY = 'approvals = 0\nbackup = "none"\nrestore_point = true\n'
TEN = "2026-11-23T10:00:00+00:00"

SAID = {
    "a moment in UTC": (("2026-11-23T10:00Z", "", ""), Back("pitr", TEN)),
    "a moment elsewhere": (("2026-11-23T11:00+01:00", "", ""), Back("pitr", TEN)),
    "a moment without a zone": (("2026-11-23T10:00", "", ""), None),
    "no moment at all": (("2026-13-23T10:00Z", "", ""), None),
    "a backup": (("", "0012", ""), Back("backup", "12")),
    "a restore point": (("", "", "cs-R-1-3f2a"), Back("point", "cs-R-1-3f2a")),
    "two at once": (("2026-11-23T10:00Z", "12", ""), None),
}


@pytest.mark.parametrize("case", SAID)
def test_what_to_go_back_to_is_said_in_one_way_that_everybody_reads_alike(case: str) -> None:
    said, expected = SAID[case]
    if expected is not None:
        assert back_to(*said) == expected
        return
    with pytest.raises(OpsError) as refused:
        back_to(*said)
    assert refused.value.reason.value == "bad_usage"


@pytest.fixture
def stage(make_stage: Make, supabase_api: SupabaseApi) -> Stage:
    """prod needs nobody, is a Supabase project with point-in-time recovery, and wants a restore point before each run."""
    now = int(time.time())
    supabase_api.project.pitr = (now - 86_400, now + 60)
    supabase_api.project.backups = [
        {"id": 12, "is_physical_backup": True, "status": "COMPLETED", "inserted_at": "2026-11-22T03:00:00.000Z"},
        {"id": 13, "is_physical_backup": True, "status": "FAILED", "inserted_at": "2026-11-23T03:00:00.000Z"},
    ]
    made = make_stage(**managed(supabase_api, NOBODY, empty=True))
    made.migration("20260101000000_notes.sql", "create table public.notes (id int primary key);\n")
    return made


def push(stage: Stage) -> dict[str, Any]:
    return stage.cli("push", "prod", "--json").json


def kinds(stage: Stage, *wanted: str) -> list[str]:
    return [event.kind for event in stage.events() if event.kind in wanted]


def test_a_run_begins_behind_its_restore_point_and_the_whole_project_can_be_put_back(
    stage: Stage, supabase_api: SupabaseApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = supabase_api.project
    listed = stage.cli("backups", "prod", "--json").json["managed"]
    assert [(one["id"], one["status"]) for one in listed["backups"]] == [(13, "FAILED"), (12, "COMPLETED")]
    shown = stage.cli("backups", "prod").out
    assert "Supabase can go back to any moment from" in shown
    assert "restore prod --to" in shown

    # Where it does not come about, nothing runs; also not where its answer is lost and it is not there.
    supabase_api.fail("POST .*/restore-point", 402)
    failed = push(stage)
    assert (failed["status"], failed["reason"]) == ("failed", "backup_not_proven")
    supabase_api.heal()
    assert stage.sql("prod", "select to_regclass('public.notes') is null") == [(True,)]
    assert kinds(stage, "restore_point_made") == []

    before = datetime.now(UTC)
    done = push(stage)
    assert done["status"] == "succeeded", done
    [name] = project.restore_points
    assert name.startswith("cs-R-2-")
    order = kinds(stage, "restore_point_sent", "restore_point_made", "statement_sent")
    assert order == ["restore_point_sent", "restore_point_sent", "restore_point_made", "statement_sent"]
    text = stage.cli("show", "R-2").out
    assert f"restore point {name} is there" in text
    assert "Supabase can go back to any moment from" in text

    # To go back: what cannot be, is refused before anybody is asked.
    for words in (("--to", "2020-01-01T00:00Z"), ("--managed", "13"), ("--managed", "99"), ("--point", "cs-none")):
        refused = stage.cli("restore", "prod", *words, "--json")
        assert (refused.code, refused.json["reason"]) == (3, "not_allowed"), (words, refused.out)
    assert project.restored == []

    shows, seen = project.shown, []

    def working() -> dict[str, Any]:
        if project.restored:
            seen.append(1)
        return {**shows(), "status": "RESTORING" if len(seen) == 1 else "ACTIVE_HEALTHY"}

    monkeypatch.setattr(project, "shown", working)
    moment = f"{before:%Y-%m-%dT%H:%M:%S}Z"
    back = stage.cli("restore", "prod", "--to", moment, "--json")
    assert (back.code, back.json["status"]) == (0, "succeeded"), back.out
    assert project.restored == [("pitr", int(before.timestamp()))]
    assert kinds(stage, "managed_restore_sent", "managed_restore_begun", "managed_restored")[:2] == [
        "managed_restore_sent",
        "managed_restore_begun",
    ]
    [asked] = [one for one in stage.events("requested") if (one.data or {})["kind"] == "restore_managed"]
    loses = " ".join((asked.data or {})["plan"]["loses"])
    assert "What 1 run of ours did since then: R-2 (push of 20260101000000)." in loses

    # An answer that is lost is never asked for again: a person looks.
    supabase_api.fail("POST .*/restore", "drop", done=True)
    lost = stage.cli("restore", "prod", "--managed", "12", "--json")
    assert (lost.code, lost.json["status"], lost.json["reason"]) == (1, "interrupted", "outcome_unknown"), lost.out
    assert project.restored[1:] == [("backup", 12)]
    again = stage.cli("restore", "prod", "--managed", "12", "--json")
    assert (again.code, again.json["reason"]) == (5, "target_blocked"), again.out


def test_a_runner_that_died_when_it_had_just_asked_leaves_it_to_a_person(
    stage: Stage, supabase_api: SupabaseApi
) -> None:
    """Whether Supabase heard it, nobody knows: it is not asked a second time."""
    assert push(stage)["status"] == "succeeded"
    dies = "from ops.supabase.client import ManagementApi as api; import os"
    at_start(stage, dies, "api.restore_backup = lambda *_: os._exit(9)")
    assert stage.cli("restore", "prod", "--managed", "12").code == 9
    at_start(stage)
    stage.cli("status")
    [ended] = [one for one in stage.events("interrupted") if one.stream == "request:R-2"]
    assert (ended.data or {})["reason"] == "outcome_unknown"
    assert supabase_api.project.restored == []


def test_without_a_token_our_own_backups_are_listed_and_it_is_said_what_is_missing(stage: Stage) -> None:
    del stage.environment["SUPABASE_ACCESS_TOKEN"]
    ran = stage.cli("backups", "prod")
    assert ran.code == 0
    assert "Supabase's own backups are not listed: SUPABASE_ACCESS_TOKEN is not set." in " ".join(ran.out.split())
    assert stage.cli("backups", "prod", "--json").json["managed"] is None
