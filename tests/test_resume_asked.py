"""What is asked of going on with a run is what is asked of a push: hazards, their classes, other environments first."""

from collections.abc import Callable

import pytest

from audit import Reader
from ops.requests import find_request
from sandbox.stage import Stage

Make = Callable[..., Stage]

FILE = "20260101000000_items.sql"
HEAD = """\
create table public.items (id int, name text);
insert into public.items values (1, 'a');
create unique index concurrently people_name on public.people (name);
"""
"""Its third statement, which stands alone, fails as long as two people have one name."""
NOBODY_ASKED = 'approvals = 0\napprovers = ["@database-owners"]\nbackup = "none"\n'


def two_alike(stage: Stage, *environments: str) -> None:
    for one in environments:
        stage.sql(one, "create table public.people (id int, name text); insert into public.people values (1, 'x')")
    stage.sql("prod", "insert into public.people values (2, 'x')")


def hazards_of(stage: Stage, number: str) -> set[tuple[str, str]]:
    return {(one["rule"], one["class"]) for one in find_request(Reader(stage.log_path), number).hazards}


@pytest.fixture
def half(make_stage: Make) -> Stage:
    """R-1 ended half-way on prod, where whatever loses data needs two people: two of its statements are there."""
    stage = make_stage(
        empty=True, prod=f'{NOBODY_ASKED}rehearsal = "required"\nhazards = {{ data_loss = {{ approvals = 2 }} }}\n'
    )
    two_alike(stage, "prod")
    stage.sql("prod", "create table public.orders (id int); insert into public.orders values (1)")
    stage.migration(FILE, HEAD)
    assert stage.cli("push", "prod", "--json").json["status"] == "partially_applied"
    stage.sql("prod", "delete from public.people where id = 2")
    return stage


def test_what_a_resume_does_unseen_asks_for_those_who_answer_for_it(half: Stage) -> None:
    """A table that statements behind us made is in use by now, and what a block drops, only a copy shows."""
    hidden = "do $$ begin execute 'drop table ' || 'public.orders'; end $$;\n"
    commit = half.commit(
        {f"supabase/migrations/{FILE}": f"{HEAD}alter table public.items drop column name;\n{hidden}"}, "mended"
    )

    asked = half.cli("resume", "R-1", "--commit", commit[:12], "--json")

    assert (asked.code, asked.json["status"]) == (0, "waiting"), asked.out + asked.err
    request = find_request(Reader(half.log_path), "R-2")
    assert {("drop-column", "data_loss"), ("drop-seen", "data_loss")} <= hazards_of(half, "R-2")
    assert request.needed == 2
    began, ended = half.events("rehearsal_started", "rehearsed")[-2:]
    assert (began.kind, began.data["files"]) == ("rehearsal_started", [FILE])
    assert (ended.kind, ended.data["digest"]) == ("rehearsed", request.digest)
    assert request.rehearsal is not None
    assert request.rehearsal["event"] == ended.id


@pytest.fixture
def behind(make_stage: Make) -> Stage:
    """Prod takes only what dev had before, and nobody approves on either."""
    stage = make_stage(empty=True, prod=f'{NOBODY_ASKED}after = ["dev"]\n')
    two_alike(stage, "dev", "prod")
    return stage


def test_a_resume_brings_nothing_that_dev_never_had(behind: Stage) -> None:
    behind.migration(FILE, HEAD)
    assert behind.cli("push", "dev", "--json").json["status"] == "succeeded"
    assert behind.cli("push", "prod", "--json").json["status"] == "partially_applied"
    behind.sql("prod", "delete from public.people where id = 2")
    changed = f"{HEAD}create table public.never_on_dev (id int);\n"
    commit = behind.commit({f"supabase/migrations/{FILE}": changed}, "mended")

    other = behind.cli("resume", "R-2", "--commit", commit[:12], "--json")
    assert (other.code, other.json["reason"]) == (3, "not_allowed")
    assert f"{FILE} has not been applied to dev with these bytes" in other.json["message"]

    same = behind.cli("resume", "R-2", "--json")
    assert (same.code, same.json["status"]) == (0, "succeeded"), same.out


def test_what_was_recorded_without_an_approval_opens_no_other_environment(behind: Stage) -> None:
    behind.migration("20260101000000_notes.sql", "create table public.notes (id int, said text);\n")
    assert behind.cli("push", "dev", "--json").json["status"] == "succeeded"
    behind.migration("20260102000000_rows.sql", "update public.notes set said = 'y';\n")
    recorded = behind.cli("record", "dev", "20260102000000", "--by", "Ana", "--because", "said", "--json")
    assert recorded.json["status"] == "succeeded", recorded.out

    refused = behind.cli("push", "prod", "--json")

    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    assert "20260102000000_rows.sql has not been applied to dev with these bytes" in refused.json["message"]
    assert "That it has is somebody's word, which nobody approved." in refused.json["message"]


def test_what_somebody_says_to_be_done_opens_no_other_environment(behind: Stage) -> None:
    behind.sql("dev", "insert into public.people values (2, 'x')")
    behind.migration(FILE, HEAD)
    assert behind.cli("push", "dev", "--json").json["status"] == "partially_applied"
    assert behind.cli("resume", "R-1", "--done", "3", "--json").json["status"] == "succeeded"

    refused = behind.cli("push", "prod", "--json")

    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    assert "That it has is somebody's word, which nobody approved." in refused.json["message"]


def test_what_a_reverse_script_does_unseen_asks_for_those_who_answer_for_it(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod=f"{NOBODY_ASKED}hazards = {{ data_loss = {{ approvals = 2 }} }}\n")
    stage.migration(FILE, "create table public.items (id int);\n")
    assert stage.cli("push", "prod", "--json").json["status"] == "succeeded"
    hidden = "do $$ begin execute 'drop table ' || 'public.items'; end $$;\n"
    stage.commit({"supabase/rollbacks/20260101000000_items.down.sql": hidden}, "a way back")

    asked = stage.cli("rollback", "R-1", "--with", "script", "--json")

    assert (asked.code, asked.json["status"]) == (0, "waiting"), asked.out + asked.err
    request = find_request(Reader(stage.log_path), "R-2")
    assert ("drop-seen", "data_loss") in hazards_of(stage, "R-2")
    assert request.needed == 2
    began, ended = stage.events("rehearsal_started", "rehearsed")[-2:]
    assert (began.kind, ended.kind) == ("rehearsal_started", "rehearsed")
    assert began.data["files"] == ["20260101000000_items.down.sql"]
    assert request.rehearsal is not None
    assert request.rehearsal["event"] == ended.id
