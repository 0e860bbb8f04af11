"""What people read when the database says no: where, why, who is in the way; and never the values of rows."""

import json
import re
from collections.abc import Callable
from collections.abc import Iterator

import pytest
from run_support import RAN
from run_support import approve
from run_support import ask
from run_support import card
from run_support import cards
from run_support import disagreements
from run_support import ended
from run_support import push_json
from run_support import ran_once
from run_support import session
from run_support import until_event
from run_support import wait_for

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]

PROD = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\nlock_patience = "2s"\n'
SECRET = "Geheimnis"
PEOPLE = f"create table people (email text unique, age int); insert into people values ('{SECRET}@x.example', 41);"


@pytest.fixture(scope="module")
def of_people(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """One stage with rows to be told or not, for every kind of error: each leaves the target as it was."""
    with Stage(empty=True, rate_limits=False, postgres=local_postgres) as stage:
        stage.sql("dev", PEOPLE)
        yield stage


def everything_told(stage: Stage, request: str = "R-1") -> str:
    """All that the log, the cards, the bot's own log and the terminal tell of a request."""
    told = str([event.data for event in stage.events()]) + cards(stage) + stage.cli("show", request, "--json").out
    return told + (stage.bot_log.read_text() if stage.bot else "")


def test_an_sql_error_shows_its_place_everywhere(make_stage: MakeStage) -> None:
    stage = make_stage(prod=PROD, empty=True)
    stage.migration("20260101000000_first.sql", RAN)
    stage.migration("20260102000000_broken.sql", f"{ran_once('b')}\n\nselect nme\n  from ran;\n")
    stage.start_bot()
    ask(stage)
    approve(stage)
    assert ended(stage).status.value == "partially_applied"

    shown = card(stage, "R-1 · shop/prod: failed half-way, 1 of 2 applied")
    assert "failed  migrate" in shown
    page = stage.cli("show", "R-1").out
    pushed = push_json(stage)
    for text in (shown, page, json.dumps(pushed)):
        assert "20260102000000_broken.sql, line 3" in text
        assert 'column \\"nme\\" does not exist' in text or 'column "nme" does not exist' in text
        assert "SQLSTATE 42703" in text
        assert 'column \\"ran.name\\"' in text or 'the column "ran.name"' in text
        assert re.search(r"3 \| select nme(\\n|\s)+[|\s]*\| {8}\^", text), text
    [failed] = [step["detail"]["sql"] for step in pushed["steps"] if step["outcome"] == "failed"]
    assert (failed["sqlstate"], failed["line"], failed["column"]) == ("42703", 3, 8)
    assert failed["statement"].startswith("select nme")
    assert (pushed["code"], pushed["status"], pushed["reason"]) == (1, "partially_applied", "sql_failed")
    assert disagreements(stage) == disagreements(stage, "prod") == []
    assert stage.sql("dev", "select name from ran") == [("a",)]


def test_what_failed_is_mended_and_the_next_push_runs_what_is_left(make_stage: MakeStage) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_first.sql", RAN)
    stage.migration("20260102000000_broken.sql", "select 1/0;")
    assert push_json(stage)["status"] == "partially_applied"
    stage.migration("20260102000000_broken.sql", ran_once("b"))
    after = push_json(stage)
    assert (after["request"], after["status"], after["applied"]) == ("R-2", "succeeded", ["20260102000000"])
    assert stage.sql("dev", "select name from ran order by 1") == [("a",), ("b",)]


def test_when_the_first_file_fails_nothing_remains(make_stage: MakeStage) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_first.sql", f"{RAN}\nselect 1/0;")
    after = push_json(stage)
    assert (after["code"], after["status"]) == (1, "failed")
    assert "Nothing of this file remains on the target." in after["message"]
    assert disagreements(stage) == []


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(f"insert into people values ('{SECRET}@x.example', 1);", id="unique"),
        pytest.param("alter table people add check (age < 40);", id="check"),
        pytest.param(
            "alter table people alter age set not null; insert into people select email || '2' from people;",
            id="not null",
        ),
        pytest.param("select email::int from people;", id="cast"),
        pytest.param("select ('{\"a\": ' || email || '}')::json from people;", id="json"),
        pytest.param("select email::timestamptz from people;", id="time"),
        pytest.param("select to_tsquery(email || ' &') from people;", id="text search"),
        pytest.param(
            "do $$ declare e text; begin select email into e from people;"
            " raise exception 'a row is bad' using detail = 'it has ' || e; end $$;",
            id="raised detail",
        ),
        pytest.param("do $$ begin perform email::uuid from people; end $$;", id="inside a block"),
        pytest.param(
            "create table jobs (who text references people (email)); insert into jobs select email || '-' from people;",
            id="foreign key",
        ),
        pytest.param(
            "alter table people add exclude using btree (age with =); "
            "insert into people select email || '3', age from people;",
            id="exclusion",
        ),
    ],
)
def test_the_values_of_rows_are_told_nowhere(of_people: Stage, sql: str) -> None:
    """The server quotes rows in DETAIL, in some messages and in CONTEXT; the file itself quotes none here."""
    stage = of_people
    stage.migration("20260101000000_first.sql", sql.replace(f"'{SECRET}@x.example'", "(select email from people)"))
    after = push_json(stage)
    assert (after["status"], after["reason"]) == ("failed", "sql_failed"), after
    assert SECRET not in json.dumps(after)
    assert SECRET not in everything_told(stage, after["request"])


def test_a_lock_that_does_not_come_free_ends_the_run_and_says_who_holds_it(make_stage: MakeStage) -> None:
    stage = make_stage(prod=PROD, empty=True)
    stage.sql("prod", "create table held (card text)")
    stage.migration("20260101000000_first.sql", "alter table held add column i int;")
    stage.start_bot()
    ask(stage)
    with session(stage, "prod", "nightly-report") as somebody, somebody.transaction():
        somebody.execute(f"select * from held where card = '{SECRET}'")
        approve(stage)
        until_event(stage, "lock_waited")
        waiting = card(stage, "waits for a lock; in the way: pid")
        assert "nightly-report, user postgres, idle in transaction" in waiting
        request = ended(stage)
    assert (request.status.value, request.ending["reason"]) == ("failed", "lock_timeout")
    told = card(stage, "failed, nothing of it remains")
    assert re.search(
        r"In the way: pid \d+ \(nightly-report, user postgres, idle in transaction\) for \d+ s: "
        r"select \* from held where card = \?",
        told,
    )
    assert len(stage.events("lock_waited")) >= 2
    assert SECRET not in everything_told(stage)
    assert disagreements(stage, "prod") == []


def test_a_lock_that_comes_free_in_time_is_waited_for(make_stage: MakeStage) -> None:
    """Each try waits briefly, so that others do not queue up behind it, and the pauses grow."""
    stage = make_stage(prod=PROD.replace("2s", "60s"), empty=True)
    stage.sql("prod", "create table held (i int)")
    stage.migration("20260101000000_first.sql", f"{RAN} alter table held add column j int;")
    stage.start_bot()
    ask(stage)
    with session(stage, "prod", "nightly-report") as somebody, somebody.transaction():
        somebody.execute("select * from held")
        approve(stage)
        until_event(stage, "lock_waited", 2)
        stage.sql("prod", "set statement_timeout = '2s'; select * from held")
    assert ended(stage).status.value == "succeeded"
    wait_for(lambda: "waits for a lock" not in card(stage, "R-1 · shop/prod: done"))
    assert disagreements(stage, "prod") == []


def test_an_index_that_failed_half_way_is_gone_and_what_stays_is_told(make_stage: MakeStage) -> None:
    """A unique index over doubles leaves an INVALID one behind, which is dropped at once; the file's first part stays."""
    stage = make_stage(empty=True)
    stage.sql("dev", f"create table people (email text); insert into people values ('{SECRET}'), ('{SECRET}')")
    stage.migration(
        "20260101000000_first.sql", f"{RAN}\ncreate unique index concurrently people_email on people (email);"
    )
    after = push_json(stage)
    assert (after["status"], after["reason"]) == ("partially_applied", "sql_failed")
    assert "The first 2 of this file's 3 statements stay on the target." in after["message"]
    assert "Index public.people_email, which it left INVALID, was dropped again." in after["hint"]
    assert SECRET not in everything_told(stage)
    assert disagreements(stage) == []
    outcomes = [(event.data or {})["outcome"] for event in stage.events("statement_finished")]
    assert outcomes == ["done", "rolled_back"]
    assert [(event.data or {})["indexes"] for event in stage.events("cleanup_sent")] == [["public.people_email"]]


def test_a_concurrent_build_that_left_nothing_failed_and_no_more(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_first.sql", "create table first (i int);")
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    stage.migration("20260101000001_second.sql", "create index concurrently first_idx on first (nope);")

    pushed = stage.cli("push", "dev", "--json").json

    assert (pushed["status"], pushed["applied"]) == ("failed", [])
    assert "Nothing of this file remains" in pushed["message"]
