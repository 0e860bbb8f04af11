"""Before anybody is asked, a plan runs on a copy of its target: written down, not twice, and ended with its process."""

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from people_talk import approve
from people_talk import ask
from rehearsal_support import ALONE
from rehearsal_support import BASE
from rehearsal_support import BASE_NAME
from rehearsal_support import BROKEN
from rehearsal_support import FILE
from rehearsal_support import GOOD
from rehearsal_support import MORE
from rehearsal_support import NEXT
from rehearsal_support import OFF
from rehearsal_support import PEOPLE
from rehearsal_support import SHOWN
from rehearsal_support import columns
from rehearsal_support import configured
from rehearsal_support import kinds
from rehearsal_support import push
from run_support import ended
from run_support import request_of
from run_support import until_event

from audit import Reader
from audit.verify import verify
from ops.rehearsing import diff_text_of
from ops.rehearsing import report_of
from ops.requests import find_request
from ops.scratch_removal import MEMORY
from ops.scratch_removal import PREFIX
from sandbox.slack_answer import Answer
from sandbox.stage import Stage

Make = Callable[..., Stage]


def test_a_plan_is_rehearsed_and_the_log_says_so_before_and_after(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    begun = len(alone.events())

    planned = alone.cli("plan", "prod", "--json")

    assert planned.code == 0
    assert planned.json["rehearsal"]["outcome"] == "passed"
    assert planned.json["rehearsal"]["is_exact"] is True
    assert planned.json["blocked"] is None
    told = [event for event in alone.events()[begun:] if event.kind in {"rehearsal_started", "rehearsed", "planned"}]
    assert [event.kind for event in told] == ["rehearsal_started", "rehearsed", "planned"]
    started, rehearsed, _ = (event.data or {} for event in told)
    assert started["files"] == [FILE]
    assert (started["basis"], started["with_data"]) == (rehearsed["basis"], False)
    assert rehearsed["digest"] == planned.json["digest"]
    assert {event.stream for event in told} == {"people"}
    assert columns(alone) == ["id", "note"], "only the copy was changed"
    assert verify(alone.log_path).problems == []


def test_the_same_plan_is_not_rehearsed_twice(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    first = alone.cli("plan", "prod", "--json").json
    before = len(kinds(alone, "rehearsed"))

    again = alone.cli("plan", "prod", "--json").json
    pushed = push(alone)

    assert len(kinds(alone, "rehearsed")) == before
    assert (again["rehearsal"], again["digest"]) == (first["rehearsal"], first["digest"])
    assert pushed.json["digest"] == first["digest"]


def test_files_that_were_read_for_an_earlier_plan_are_rehearsed_as_they_are(alone: Stage) -> None:
    """What is kept of an earlier reading has no syntax trees; each file's schema is told all the same."""
    alone.migration(FILE, GOOD)
    alone.migration(NEXT, MORE)
    first = configured(alone, OFF).cli("plan", "prod", "--json").json
    assert first["rehearsal"] is None

    assert push(configured(alone, ALONE)).json["status"] == "succeeded"

    hashes = [one["catalog_sha256"] for one in (alone.events("requested")[-1].data or {})["plan"]["expected"]]
    assert len(set(hashes)) == 2


def test_another_state_of_the_target_is_rehearsed_anew(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    alone.cli("plan", "prod", "--json")
    before = len(kinds(alone, "rehearsed"))

    alone.sql("prod", "create table public.by_hand (i int)")
    alone.cli("plan", "prod", "--json")

    assert len(kinds(alone, "rehearsed")) == before + 1


def test_a_file_that_fails_on_the_copy_cannot_be_asked_for(alone: Stage) -> None:
    alone.migration(FILE, BROKEN)
    begun = len(alone.events("requested"))

    refused = push(alone)

    assert (refused.code, refused.json["reason"]) == (3, "rehearsal_failed")
    assert refused.json["message"].startswith(f'{FILE}:2:20: type "nummeric" does not exist (SQLSTATE 42704).')
    assert "nothing was sent to shop/prod itself" in refused.json["message"]
    assert refused.json["hint"].endswith("Mend the file and ask again.")
    assert len(alone.events("requested")) == begun

    shown = alone.cli("plan", "prod", "--json")
    assert (shown.code, shown.json["rehearsal"]["outcome"]) == (0, "failed")
    assert shown.json["blocked"] == refused.json["message"]
    assert len(kinds(alone, "rehearsed")) == 1, "what failed there stands too"


def test_a_mended_file_can_be_asked_for(alone: Stage) -> None:
    alone.migration(FILE, BROKEN)
    assert push(alone).code == 3

    alone.migration(FILE, GOOD)

    assert push(alone).json["status"] == "succeeded"


def test_where_a_rehearsal_is_only_shown_a_failure_does_not_end_the_asking(alone: Stage) -> None:
    stage = configured(alone, SHOWN)
    stage.migration(FILE, BROKEN)

    pushed = push(stage)

    assert (pushed.code, pushed.json["status"], pushed.json["reason"]) == (1, "failed", "sql_failed")
    asked = stage.events("requested")[-1].data or {}
    assert asked["rehearsal"]["outcome"] == "failed"
    assert asked["plan"]["expected"] is None


def test_where_none_is_wanted_none_is_made(alone: Stage) -> None:
    stage = configured(alone, OFF)
    stage.migration(FILE, GOOD)

    assert push(stage).json["status"] == "succeeded"
    assert kinds(stage, "rehearsal_started", "rehearsed") == []
    asked = stage.events("requested")[-1].data or {}
    assert (asked["plan"]["expected"], asked["rehearsal"]) == (None, None)


def test_a_rehearsal_that_cannot_be_is_told_with_what_is_missing(alone: Stage) -> None:
    """Where a level of isolation is asked for that this machine does not reach, as no program for it is there."""
    stage = configured(alone, f'isolation = "partial"\n{ALONE}')
    stage.migration(FILE, GOOD)
    bare = stage.folder / "bin"
    bare.mkdir()
    (bare / "git").symlink_to(shutil.which("git") or "git")
    path, stage.environment["PATH"] = stage.environment["PATH"], str(bare)

    refused = push(stage)

    assert (refused.code, refused.json["reason"]) == (3, "rehearsal_impossible")
    assert "isolated here as none, and partial is demanded" in refused.json["message"]
    assert "doctor" in refused.json["hint"]
    assert stage.events("requested") == []
    assert stage.cli("plan", "prod", "--json").json["rehearsal"]["outcome"] == "impossible"

    stage.environment["PATH"] = path
    configured(stage, ALONE)
    assert push(stage).json["status"] == "succeeded"


def test_a_plan_that_is_refused_as_it_reads_is_not_rehearsed(alone: Stage) -> None:
    before = len(kinds(alone, "rehearsal_started"))
    alone.migration(FILE, "\\copy public.orders from stdin\n")

    planned = alone.cli("plan", "prod", "--json")

    assert planned.json["blocked"]
    assert planned.json["rehearsal"] is None
    assert len(kinds(alone, "rehearsal_started")) == before


def test_the_request_keeps_what_its_card_needs_and_the_log_the_rest(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    assert push(alone).code == 0
    view = Reader(alone.log_path)

    request = find_request(view, "R-1")

    assert request.rehearsal is not None
    assert [one["outcome"] for one in request.rehearsal["files"]] == ["passed"]
    assert "diff_text" not in request.rehearsal
    assert list(request.expected) == ["20260102000000"]
    assert "total" in diff_text_of(view, request)
    report = report_of(view, request)
    assert report is not None
    assert report.expected() == request.plan["expected"]


def test_a_refused_class_is_shown_and_cannot_be_asked_for(alone: Stage) -> None:
    stage = configured(alone, f'hazards = {{ data_loss = "refused" }}\n{ALONE}')
    stage.migration(FILE, "drop table public.orders;")

    refused = push(stage)

    assert (refused.code, refused.json["reason"]) == (3, "hazard_forbidden")
    assert "class data_loss), and shop/prod refuses whatever is data_loss" in refused.json["message"]
    assert stage.cli("plan", "prod", "--json").code == 0


def test_what_rests_on_the_rehearsal_is_in_the_digest(alone: Stage) -> None:
    """The digest of `plan --json` is that of the request, whose canonical plan says what is expected."""
    alone.migration(FILE, GOOD)
    planned = alone.cli("plan", "prod", "--json").json

    assert push(alone).code == 0

    asked = alone.events("requested")[-1].data or {}
    assert asked["digest"] == planned["digest"]
    assert [one["version"] for one in asked["plan"]["expected"]] == ["20260102000000"]
    assert len(asked["plan"]["expected"][0]["catalog_sha256"]) == 64
    assert json.dumps(asked["plan"]["policy"]["hazards"]) == "{}"


# --- people ----------------------------------------------------------------------------------------------------------


def test_two_who_ask_at_once_share_one_rehearsal(make_stage: Make) -> None:
    stage = make_stage(prod=PEOPLE, empty=True)
    stage.migration(BASE_NAME, BASE)
    stage.start_bot()

    answers = [stage.slack.say(who, "/migrate plan prod") for who in ("U0ANA", "U0BEN", "U0CHI")]

    for answer in answers:
        assert wait_for(lambda answer=answer: BASE_NAME in shown(stage, answer), 60), shown(stage, answer)
    assert kinds(stage, "rehearsal_started", "rehearsed") == ["rehearsal_started", "rehearsed"]
    assert len(kinds(stage, "planned")) == 3


CLASSES = 'hazards = { data_loss = { approvals = 2, approvers = ["U0DEE"] }, secrets = "refused" }\n'


def test_a_class_of_hazards_takes_more_people_and_people_of_its_own(make_stage: Make) -> None:
    stage = make_stage(prod=PEOPLE + CLASSES, empty=True)
    stage.migration(BASE_NAME, BASE)
    stage.start_bot()
    ask(stage)
    approve(stage, "U0BEN")
    assert ended(stage).status.value == "succeeded", "what is not dangerous takes one"
    stage.migration(FILE, "drop table public.orders;")

    ask(stage)
    assert request_of(stage, 2).needed == 2
    approve(stage, "U0BEN", about="R-2")
    assert "1 more needed" in approve(stage, "U0CHI", about="R-2"), "two have agreed, but nobody of the class"
    assert request_of(stage, 2).missing == 1
    approve(stage, "U0DEE", about="R-2")

    assert ended(stage, 2).status.value == "succeeded"
    said = [event.data for event in stage.events("approved") if event.request == "R-2" and event.data]
    assert ["data_loss" in one["facts"]["accepts"] for one in said] == [True] * 3
    assert [one["facts"]["covers"] for one in said] == [[], [], ["data_loss"]]
    assert [(one["number"], one["needed"]) for one in said] == [(1, 2), (2, 2), (3, 3)]
    assert [one.covers for one in request_of(stage, 2).approvals] == [(), (), ("data_loss",)]
    started = next(event for event in stage.events("started") if event.request == "R-2").data or {}
    assert started["facts"]["uncovered"] == []


def scratches(stage: Stage, owner: int) -> list[Path]:
    """The throw-away servers that a process made, on disk (a stage's own folder) or in memory, which all share."""
    return [
        root for place in (stage.folder / "tmp", MEMORY) for root in place.glob(f"{PREFIX}*") if owner_of(root) == owner
    ]


def owner_of(root: Path) -> int | None:
    try:
        return int(json.loads((root / "owner").read_text())["pid"])
    except (OSError, ValueError):
        return None  # just made, or just removed


# --- the end of a process --------------------------------------------------------------------------------------------

SLEEPS = "select pg_sleep(120);"


@pytest.fixture
def sleeping(make_stage: Make) -> Iterator[Stage]:
    """A bot in the middle of a rehearsal that would take two minutes."""
    stage = make_stage(prod=PEOPLE, empty=True)
    stage.environment["TMPDIR"] = str(stage.folder / "tmp")
    (stage.folder / "tmp").mkdir(mode=0o755)
    stage.migration(BASE_NAME, SLEEPS)
    stage.start_bot()
    assert stage.bot is not None
    bot = stage.bot.pid
    assert stage.slack.say("U0ANA", "/migrate plan prod").error is None
    until_event(stage, "rehearsal_started")
    assert wait_for(lambda: scratches(stage, bot)), "there is a throw-away server"
    yield stage
    assert scratches(stage, bot) == [], "nothing is left"


def test_a_bot_that_is_stopped_ends_its_rehearsal(sleeping: Stage) -> None:
    began = time.monotonic()

    sleeping.stop_bot()

    assert time.monotonic() - began < 45, "far from the two minutes"
    assert kinds(sleeping)[-1] == "bot_stopped"


def test_what_a_killed_bot_left_is_removed_by_the_next(sleeping: Stage) -> None:
    sleeping.stop_bot(signal.SIGKILL)
    sleeping.migration(BASE_NAME, BASE)

    sleeping.start_bot()

    answer = sleeping.slack.say("U0ANA", "/migrate plan prod")
    assert wait_for(lambda: BASE_NAME in shown(sleeping, answer), 60), shown(sleeping, answer)
    assert kinds(sleeping, "rehearsed") == ["rehearsed"]
    sleeping.stop_bot()


def shown(stage: Stage, answer: Answer) -> str:
    """The private answer to a command, as it stands now."""
    return "\n".join(stage.slack.render(message) for message in answer.messages())


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> bool:
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return True
        pause.wait(0.05)
    return False
