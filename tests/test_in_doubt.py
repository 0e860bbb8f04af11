"""A run of which it is not known how far it came: what its card says, how to find out, and the ways on from there."""

import signal
from collections.abc import Callable

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import approve
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import told
from people_talk import wait_for
from run_support import at_work
from run_support import session
from test_half_way import card_of
from test_half_way import decided

from sandbox.stage import Stage

Make = Callable[..., Stage]

FILE = "20260101000000_find.sql"
SQL = """\
alter table public.items add column a int;
create index concurrently items_a on public.items (a);
alter table public.items add column b int;
"""


@pytest.fixture
def doubtful(make_stage: Make) -> Stage:
    """The bot was killed while an index was built, which is INVALID now; R-1 is interrupted."""
    stage = make_stage(empty=True, prod=rules(1))
    stage.sql("prod", "create table public.items (id int primary key)")
    stage.migration(FILE, SQL)
    stage.start_bot()
    stage.slack.say(ANA, "/migrate push prod")
    card(stage, "[Approve for prod]")
    with session(stage, "prod") as reader:
        reader.execute("begin isolation level repeatable read")
        reader.execute("select 1")
        approve(stage, BEN)
        wait_for(at_work(stage, "prod", "create index concurrently"), 20)
        there = "select count(*) from pg_index where indexrelid = to_regclass('public.items_a')"
        wait_for(lambda: stage.sql("prod", there) == [(1,)])
        stage.stop_bot(signal.SIGKILL)
        gone = "select count(*) from pg_stat_activity where application_name like 'countersign migrate%'"
        mine = " and datname = current_database()"
        wait_for(lambda: stage.sql("prod", gone + mine) == [(0,)], 20)
    stage.start_bot()
    card(stage, "interrupted, a person must decide")
    return stage


def test_its_card_says_what_is_not_known_and_how_to_find_out(doubtful: Stage) -> None:
    shown = card(doubtful, "interrupted, a person must decide")

    assert "• ran  line 1: alter table public.items add column a int" in shown
    assert "• not known  line 2: create index concurrently items_a on public.items (a)" in shown
    assert "• not run  line 3: alter table public.items add column b int" in shown
    assert "nothing else runs on the target until a person has looked" in shown
    assert "How to find out" in shown
    asked = [line.strip() for line in shown.splitlines() if line.strip().startswith("select ")]
    assert len(asked) == 3
    answers = [doubtful.sql("prod", line) for line in asked]
    assert answers == [[], [("public", "items_a", False)], []]
    assert "indisvalid false: it is half made, and is to be cleaned up." in shown
    in_order(doubtful)


def test_the_target_stays_blocked_until_somebody_said_what_they_found(doubtful: Stage) -> None:
    assert "was interrupted, and nobody has said yet" in told(doubtful.slack.say(ANA, "/migrate resume R-1"))
    assert doubtful.cli("push", "prod", "--json").json["status"] in {"waiting", "refused"}
    assert "is settled" in told(
        doubtful.slack.say(BEN, "/migrate cancel R-1 the index is INVALID, the column is there")
    )
    shown = card(doubtful, "interrupted, and settled by a person")
    assert "How to find out" not in shown
    assert "go on with /migrate resume R-1" in shown
    assert "[Clean up what is broken]" in shown


def test_from_doubt_to_done_by_cleaning_up_and_going_on(doubtful: Stage) -> None:
    told(doubtful.slack.say(BEN, "/migrate cancel R-1 the index is INVALID, the column is there"))
    card(doubtful, "interrupted, and settled by a person")

    assert "left public.items_a INVALID" in told(doubtful.slack.say(ANA, "/migrate resume R-1"))
    assert "R-2 is asked for: clean up behind R-1" in told(doubtful.slack.click(ANA, "Clean", about="R-1"))
    assert "public.items_a" in card_of(doubtful, "R-2", "[Approve for prod]")
    decided(doubtful, "R-2")
    assert "R-3 is asked for: resume R-1" in told(doubtful.slack.click(ANA, "Resume", about="R-1"))
    assert f"Runs 2 of the 3 statements of {FILE}, from line 2 on." in card_of(doubtful, "R-3", "[Approve for prod]")
    decided(doubtful, "R-3")

    assert doubtful.sql("prod", "select indisvalid from pg_index where indexrelid = 'items_a'::regclass") == [(True,)]
    assert doubtful.sql("prod", "select version from supabase_migrations.schema_migrations") == [("20260101000000",)]
    in_order(doubtful)


def test_what_a_person_found_is_their_word_on_the_card(doubtful: Stage) -> None:
    """Somebody mended the index by hand: that many statements are there, as they say."""
    told(doubtful.slack.say(BEN, "/migrate cancel R-1 I have built the index anew by hand"))
    with session(doubtful, "prod") as connection:
        connection.execute("reindex index concurrently public.items_a")
    told(doubtful.slack.say(ANA, "/migrate resume R-1 --done 2"))
    shown = card_of(doubtful, "R-2", "[Approve for prod]")
    assert "@Ana says that the first 2 of 3 statements" in shown
    decided(doubtful, "R-2")
    assert doubtful.sql(
        "prod", "select count(*) from pg_attribute where attrelid = 'items'::regclass and attnum > 0"
    ) == [(3,)]
