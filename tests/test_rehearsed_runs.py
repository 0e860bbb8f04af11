"""What a run leaves on the target is held against what its rehearsal left on the copy."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsal_support import FILE
from rehearsal_support import GOOD
from rehearsal_support import IF_ROWS
from rehearsal_support import MORE
from rehearsal_support import NEXT
from rehearsal_support import SHOWN
from rehearsal_support import applied
from rehearsal_support import columns
from rehearsal_support import configured
from rehearsal_support import kinds
from rehearsal_support import push
from run_support import request_of

from audit.verify import verify
from sandbox.stage import Stage


def test_the_run_leaves_what_the_copy_showed(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    alone.migration(NEXT, "create index concurrently on public.orders (note);")

    assert push(alone).json["status"] == "succeeded"

    left = {
        event.data["version"]: event.data["catalog_sha256"] for event in alone.events("migration_applied") if event.data
    }
    expected = request_of(alone).expected
    assert expected == {version: left[version] for version in ("20260102000000", "20260103000000")}


def test_what_does_something_else_on_the_target_is_rolled_back(alone: Stage) -> None:
    alone.migration(FILE, IF_ROWS)

    pushed = push(alone)

    assert (pushed.code, pushed.json["status"], pushed.json["reason"]) == (1, "failed", "not_as_rehearsed")
    assert pushed.json["message"].endswith("Nothing of this file remains on the target.")
    assert "--with-data" in pushed.json["hint"]
    assert columns(alone) == ["id", "note"]
    assert applied(alone) == ["20260101000000"]
    assert kinds(alone, "started", "failed", "succeeded", "partially_applied")[-1] == "failed"
    assert verify(alone.log_path).problems == []


def test_what_ran_before_it_stays_and_is_told(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    alone.migration(NEXT, IF_ROWS)

    pushed = push(alone)

    assert (pushed.json["status"], pushed.json["reason"]) == ("partially_applied", "not_as_rehearsed")
    assert columns(alone) == ["id", "note", "total"]
    ending = alone.events("partially_applied")[-1].data or {}
    assert (ending["applied"], ending["not_applied"]) == (["20260102000000"], ["20260103000000"])
    assert ending["within"] is None


def test_what_cannot_be_rolled_back_ends_the_run_behind_it(alone: Stage) -> None:
    alone.migration(FILE, f"{IF_ROWS}create index concurrently on public.orders (note);")
    alone.migration(NEXT, GOOD)

    pushed = push(alone)

    assert (pushed.json["status"], pushed.json["reason"]) == ("partially_applied", "not_as_rehearsed")
    assert applied(alone) == ["20260101000000", "20260102000000"]
    assert columns(alone) == ["id", "note", "had_rows"]


def test_where_it_is_only_shown_the_difference_is_said_and_the_run_goes_on(alone: Stage) -> None:
    stage = configured(alone, SHOWN)
    stage.migration(FILE, IF_ROWS)

    pushed = push(stage)

    assert pushed.json["status"] == "succeeded"
    assert columns(stage) == ["id", "note", "had_rows"]
    finished = [one.data for one in stage.events("step_finished") if one.data and one.data["step"] == "migrate"]
    assert finished[-1]["result"]["differs"] == [FILE]


@pytest.mark.parametrize("point", ["after migration_applied 1", "after commit_sent 2"])
def test_a_run_that_lost_its_runner_goes_on_as_it_was_rehearsed(alone: Stage, point: str) -> None:
    alone.migration(FILE, GOOD)
    alone.migration(NEXT, MORE)

    died = crashing_push(alone, point)

    assert died == -signal.SIGKILL
    assert alone.cli("show", "R-1", "--json").json["status"] == "succeeded"
    assert columns(alone) == ["id", "note", "total", "more"]
    assert len(kinds(alone, "rehearsed")) == 1, "a run that is taken up rehearses nothing"


def test_a_run_is_not_taken_up_where_the_target_is_not_as_rehearsed(alone: Stage) -> None:
    """A file in parts whose row alone is missing has no hash of its own in the log: the copy's is held against it."""
    alone.migration(FILE, "alter table public.orders add column total int;\nvacuum public.orders;\n")
    alone.migration(NEXT, MORE)
    crashing_push(alone, "after statement_finished 2")
    alone.sql("prod", "alter table public.orders add column by_hand int")

    shown = alone.cli("show", "R-1", "--json")

    assert (shown.json["status"], shown.json["ending"]["within"]) == ("partially_applied", "20260102000000")
    assert "not what the rehearsal showed" in shown.json["ending"]["message"]
    assert columns(alone) == ["id", "note", "total", "by_hand"]


def crashing_push(stage: Stage, point: str) -> int:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from chaos import crash_at; crash_at(sys.argv[2]); "
        "from countersign import main; sys.exit(main(['push', 'prod', '--json']))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), point]
    return subprocess.run(
        command, cwd=stage.folder, env=stage.environment, capture_output=True, timeout=120, check=False
    ).returncode
