"""Ending a session that is in the way: who may, what people read, and that exactly that session in that transaction ends."""

from collections.abc import Callable
from collections.abc import Iterator

import psycopg
import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import approve
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import thread
from people_talk import told
from people_talk import wait_for
from run_support import session

from ops.blockers import pid_text
from ops.database import Connection
from ops.guard import GUARD_KEY
from sandbox.stage import Stage

Make = Callable[..., Stage]


@pytest.fixture
def stage(make_stage: Make) -> Stage:
    made = make_stage(empty=True, prod=rules(1))
    for database in ("prod", "dev"):
        made.sql(database, "create table public.orders (id int primary key, note text)")
    return made


@pytest.fixture
def blocker(stage: Stage) -> Iterator[Connection]:
    """Somebody's session on prod that holds a lock on orders in an open transaction."""
    with session(stage, "prod", "psql") as connection:
        connection.execute("begin")
        connection.execute("lock table public.orders in access exclusive mode")
        yield connection


def number(connection: Connection) -> str:
    return pid_text(connection.info.backend_pid)


def is_alive(stage: Stage, pid: int) -> bool:
    return stage.sql("prod", f"select count(*) from pg_stat_activity where pid = {pid}") == [(1,)]


def ended(stage: Stage) -> str:
    kinds = ("succeeded", "failed", "superseded")
    wait_for(lambda: [one for one in stage.events(*kinds) if one.request == "R-1"], 30)
    return stage.events(*kinds)[-1].kind


def test_a_blocker_is_ended_once_somebody_else_agreed(stage: Stage, blocker: Connection) -> None:
    stage.start_bot()
    pid = blocker.info.backend_pid
    said = told(stage.slack.say(ANA, f"/migrate terminate prod {number(blocker)}"))
    assert f"R-1 is asked for: end session {pid}" in said

    shown = card(stage, "[Approve for prod]")
    assert f"R-1 · end session {pid} on shop/prod: waiting for approval" in shown
    assert f"Ends the session with pid {pid}: psql, user postgres" in shown
    assert "Its last query: lock table public.orders in access exclusive mode" in shown
    assert "has not committed is rolled back" in shown
    assert "Last backup" not in shown
    assert "Commit" not in shown
    assert is_alive(stage, pid)
    assert "cannot decide" in approve(stage, ANA)
    assert is_alive(stage, pid)

    approve(stage, BEN)

    assert ended(stage) == "succeeded"
    assert not is_alive(stage, pid)
    with pytest.raises(psycopg.Error):
        blocker.execute("select 1")
    done = card(stage, "on shop/prod: done")
    assert f"of the session with pid {pid}: it is ended" in done
    assert "all of this plan" not in done
    assert "it is ended, and its transaction is rolled back" in done
    in_order(stage)


def test_all_that_it_stands_for_is_in_the_thread(stage: Stage, blocker: Connection) -> None:
    stage.start_bot()
    stage.slack.say(ANA, f"/migrate terminate prod {number(blocker)}")
    card(stage, "[Approve for prod]")
    root = next(one for one in stage.slack.channel("deploys").messages if "R-1" in stage.slack.render(one))
    assert "All that R-1 stands for" in thread(stage, root)
    [file] = stage.slack.channel("deploys").files
    assert "Ends the session with pid" in (file.content or b"").decode()


def test_a_run_that_waits_goes_on_when_its_blocker_is_ended(make_stage: Make) -> None:
    """The request to end it runs beside the run that holds the target."""
    stage = make_stage(empty=True, prod=rules(1))
    stage.sql("prod", "create table public.orders (id int primary key)")
    stage.migration("20260101000000_note.sql", "alter table public.orders add column note text;")
    stage.start_bot()
    with session(stage, "prod", "psql") as blocker:
        blocker.execute("begin")
        blocker.execute("select * from public.orders")
        stage.slack.say(ANA, "/migrate push prod")
        card(stage, "[Approve for prod]")
        approve(stage, BEN)
        waiting = card(stage, "waiting for a lock")
        assert f"terminate prod {number(blocker)}" in waiting

        told(stage.slack.say(ANA, f"/migrate terminate prod {number(blocker)}"))
        card(stage, "R-2 · end session")
        wait_for(lambda: "[Approve for prod]" in card(stage, "R-2 · end session"), 20)
        assert "R-1 waits for it." in card(stage, "R-2 · end session")
        again = told(stage.slack.say(ANA, f"/migrate terminate prod {number(blocker)}"))
        assert "R-2 is asked for" in again  # the session is the same, whatever waits for it at this moment
        approve(stage, BEN, "R-2")

        wait_for(lambda: {one.request for one in stage.events("succeeded")} == {"R-1", "R-2"}, 40)
        assert stage.sql("prod", "select note from public.orders") == []
        plan = next(one.data for one in stage.events("requested") if one.request == "R-2")
        assert plan is not None
        assert plan["plan"]["of"] == "R-1"
    in_order(stage)


def test_a_session_that_went_on_to_other_work_is_left_alone(stage: Stage, blocker: Connection) -> None:
    stage.start_bot()
    stage.slack.say(ANA, f"/migrate terminate prod {number(blocker)}")
    card(stage, "[Approve for prod]")
    blocker.execute("commit")
    blocker.execute("begin")
    blocker.execute("insert into public.orders values (1)")

    assert "which has ended that transaction" in approve(stage, BEN)

    assert ended(stage) == "superseded"
    blocker.execute("commit")
    assert stage.sql("prod", "select id from public.orders") == [(1,)]


def test_a_session_that_ended_by_itself_needs_nothing_any_more(stage: Stage, blocker: Connection) -> None:
    stage.start_bot()
    stage.slack.say(ANA, f"/migrate terminate prod {number(blocker)}")
    card(stage, "[Approve for prod]")
    pid = blocker.info.backend_pid
    blocker.close()
    wait_for(lambda: not is_alive(stage, pid))
    answer = approve(stage, BEN)
    assert "which has ended" in answer
    assert "It has ended by itself: nothing is to be done." in answer
    assert "push" not in answer
    assert ended(stage) == "superseded"
    assert "It has ended by itself: nothing is to be done." in card(stage, "no longer holds")


def test_where_nobody_approves_it_is_ended_at_once(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    with session(stage, "dev", "psql") as blocker:
        blocker.execute("begin")
        blocker.execute("create table public.mine (id int)")
        ran = stage.cli("terminate", "dev", number(blocker), "--json")
        assert (ran.code, ran.json["status"], ran.json["kind"]) == (0, "succeeded", "terminate")
    assert stage.sql("dev", "select to_regclass('public.mine')") == [(None,)]


def test_sessions_that_nobody_may_end(stage: Stage) -> None:
    """Our own, a superuser's, the server's own, one in no transaction, one that is not there."""
    with (
        session(stage, "prod", "anything") as holder,
        session(stage, "prod", "idle") as idle,
    ):
        holder.execute("select pg_advisory_lock(%s)", (GUARD_KEY,))
        holder.execute("begin")
        url = stage.postgres.url(stage.databases["prod"], user="supabase_admin")
        with psycopg.connect(url, application_name="root") as root:
            root.execute("select 1")
            said = {
                number(holder): "is Countersign's own",
                number(idle): "is in no transaction",
                number(root): "is a superuser's (supabase_admin)",
                "999999999": "",
            }
            for pid, words in said.items():
                ran = stage.cli("terminate", "prod", pid if words else "pid99999999", "--json")
                assert (ran.code, ran.json["reason"]) == ((3, "not_allowed") if words else (2, "unknown_session")), (
                    ran.out
                )
                assert (words or "has no session with pid 99999999") in ran.json["message"]
    assert stage.events("requested") == []


def test_a_name_like_ours_makes_nobody_immune(stage: Stage) -> None:
    """Any session may set its application_name; what makes one ours is the lock of a run, held by our own login."""
    stage.sql("prod", "create role stranger login password 'stranger'")
    url = stage.postgres.url(stage.databases["prod"], user="stranger")
    with (
        session(stage, "prod", "countersign migrate R-9") as named,
        psycopg.connect(url, password="stranger", application_name="other") as stranger,
    ):
        stranger.execute("select pg_advisory_lock(%s)", (GUARD_KEY,))
        named.execute("begin")
        for blocking in (named, stranger):
            ran = stage.cli("terminate", "prod", number(blocking), "--json")
            assert ran.json["status"] == "waiting", ran.out
    does = [" ".join((event.data or {})["plan"]["does"]) for event in stage.events("requested")]
    assert ["calls itself Countersign's, which any session can" in said for said in does] == [True, False]


ASKED_PLAINLY = {
    "terminate prod": "needs an environment and a process id",
    "terminate prod blocker": "'blocker' is not a process id",
    "terminate prod 1234567": "look like a one-time code",
    "terminate prod -1": "is not a process id",
}


def test_a_process_id_is_asked_for_plainly(stage: Stage) -> None:
    for line, words in ASKED_PLAINLY.items():
        ran = stage.cli(*line.split(), "--json")
        assert ran.code == 2
        assert words in ran.json["message"]


def test_it_takes_no_backup(stage: Stage, blocker: Connection) -> None:
    """Whatever the policy says: its steps are its own."""
    asked = stage.cli("terminate", "prod", number(blocker), "--json").json
    assert asked["status"] == "waiting"
    found = stage.cli("show", asked["request"], "--json").json
    assert found["kind"] == "terminate"
    [event] = stage.events("requested")
    assert (event.data or {})["plan"]["steps"] == ["preflight", "terminate"]
