"""A run that ended half-way: its card tells every statement, and what is left, broken or doubtful has a word of its own."""

from collections.abc import Callable

import psycopg
import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import approve
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import told
from people_talk import wait_for
from run_support import session

from sandbox.stage import Stage

Make = Callable[..., Stage]

FILE = "20260101000000_items.sql"
SQL = """\
create table public.items (id int, name text);
insert into public.items values (1, 'same'), (2, 'same');
create unique index concurrently items_name on public.items (name);
alter table public.items add column more text;
"""
"""Its third statement, which stands alone, fails as long as two rows are the same."""


@pytest.fixture
def half(make_stage: Make) -> Stage:
    """R-1 ended half-way on prod: two of its four statements are there."""
    stage = make_stage(empty=True, prod=rules(1))
    stage.migration(FILE, SQL)
    stage.start_bot()
    stage.slack.say(ANA, "/migrate push prod")
    card(stage, "[Approve for prod]")
    approve(stage, BEN)
    card(stage, "failed half-way")
    return stage


def decided(stage: Stage, number: str, kind: str = "succeeded") -> None:
    """Ben approves a request once its card can be approved, and it ends so."""
    card_of(stage, number, "[Approve for prod]")
    approve(stage, BEN, number)
    kinds = ("succeeded", "failed", "partially_applied", "interrupted", "superseded")
    wait_for(lambda: [one for one in stage.events(*kinds) if one.request == number], 40)
    found = [one for one in stage.events(*kinds) if one.request == number][-1]
    assert found.kind == kind, found.data


def card_of(stage: Stage, number: str, words: str) -> str:
    """The card of a request, once it says this."""

    def shown() -> str:
        cards = [stage.slack.render(one) for one in stage.slack.channel("deploys").messages if not one.thread_ts]
        return next((text for text in cards if f"{number} · " in text and words in text), "")

    wait_for(shown, 30, f"{number} never said {words!r}")
    return shown()


def names(stage: Stage) -> list[str]:
    rows = stage.sql("prod", "select version, cardinality(statements) from supabase_migrations.schema_migrations")
    return [f"{version}:{count}" for version, count in rows]


def test_its_card_says_of_every_statement_whether_it_ran(half: Stage) -> None:
    shown = card(half, "failed half-way")

    assert f"Statements of {FILE}" in shown
    assert "• ran  line 1: create table public.items (id int, name text)" in shown
    assert "• ran  line 2: insert into public.items values" in shown
    assert "• rolled back  line 3: create unique index concurrently items_name on public.items (name)" in shown
    assert "• not run  line 4: alter table public.items add column more text" in shown
    assert "'same'" not in shown.partition("Statements of")[2].partition("Steps")[0]
    assert "resume R-1" in shown
    assert "repair prod applied 20260101000000" in shown
    assert "clean up R-1" not in shown  # what its own statement left INVALID it dropped itself
    assert "[Resume: run what is left]" in shown
    in_order(half)


def test_what_is_left_runs_as_a_request_of_its_own(half: Stage) -> None:
    half.sql("prod", "delete from public.items where id = 2")

    said = told(half.slack.click(ANA, "Resume", about="R-1"))
    assert "R-2 is asked for: resume R-1" in said
    shown = card_of(half, "R-2", "[Approve for prod]")
    assert f"2 of 4 statements of {FILE} are on shop/prod, by the log." in shown
    assert f"Runs 2 of the 4 statements of {FILE}, from line 3 on." in shown
    assert "cannot decide" in approve(half, ANA, "R-2")
    decided(half, "R-2")

    assert half.sql("prod", "select id, more from public.items") == [(1, None)]  # the insert did not run again
    assert half.sql("prod", "select indisvalid from pg_index where indexrelid = 'items_name'::regclass") == [(True,)]
    assert names(half) == ["20260101000000:4"]
    assert "nothing to do" in half.cli("push", "prod").out + half.cli("push", "prod").err
    assert "R-2 went on with R-1 already" in told(half.slack.say(ANA, "/migrate resume R-1"))
    in_order(half)


def test_a_push_that_would_run_it_all_again_is_refused(half: Stage) -> None:
    said = told(half.slack.say(ANA, "/migrate push prod"))
    assert f"{FILE} was left half-way by R-1: its first 2 statements are there" in said
    assert "resume R-1" in said
    assert "was left half-way by R-1" in half.cli("plan", "prod").out
    # What ran is taken out of the file: then all of it may run.
    half.commit(
        {f"supabase/migrations/{FILE}": "".join(SQL.replace("unique ", "").splitlines(keepends=True)[2:])}, "Split"
    )
    assert "R-2 is asked for" in told(half.slack.say(ANA, "/migrate push prod"))


def test_what_somebody_took_away_by_hand_runs_again_on_their_word(half: Stage) -> None:
    half.sql("prod", "drop table public.items")
    half.commit({f"supabase/migrations/{FILE}": SQL.replace("unique ", "")}, "Mend")
    commit = half.commit({}, "Head")
    told(half.slack.say(ANA, f"/migrate resume R-1 --done 0 --commit {commit[:12]}"))
    shown = card_of(half, "R-2", "[Approve for prod]")
    assert f"@Ana says that none of the 4 statements of {FILE} is there" in shown
    assert "where the log has 2 for certain." in shown
    decided(half, "R-2")
    assert half.sql("prod", "select count(*) from public.items") == [(2,)]


def test_what_is_left_can_be_mended_behind_what_ran(half: Stage) -> None:
    whole = half.commit({f"supabase/migrations/{FILE}": SQL.replace("unique index", "index")}, "Mend it")
    changed = half.commit({f"supabase/migrations/{FILE}": SQL.replace("'same'", "'other'", 1)}, "Change what ran")

    refused = told(half.slack.say(ANA, f"/migrate resume R-1 --commit {changed[:12]}"))
    assert "the first 2 statements" in refused
    assert "R-2 is asked for" in told(half.slack.say(ANA, f"/migrate resume R-1 --commit {whole[:12]}"))
    decided(half, "R-2")
    assert half.sql("prod", "select count(*) from public.items") == [(2,)]
    stored = half.sql("prod", "select statements[3] from supabase_migrations.schema_migrations")
    assert stored == [("create index concurrently items_name on public.items (name)",)]


def test_a_resume_that_fails_again_leaves_as_much_as_before(half: Stage) -> None:
    told(half.slack.say(ANA, "/migrate resume R-1"))
    decided(half, "R-2", "failed")
    assert half.sql("prod", "select count(*) from public.items") == [(2,)]
    half.sql("prod", "delete from public.items where id = 2")
    assert "R-3 is asked for" in told(half.slack.say(ANA, "/migrate resume R-1"))
    decided(half, "R-3")
    assert names(half) == ["20260101000000:4"]


def test_what_changed_since_is_told_before_anybody_may_go_on(half: Stage) -> None:
    told(half.slack.say(ANA, "/migrate resume R-1"))
    card_of(half, "R-2", "[Approve for prod]")
    half.sql("prod", "alter table public.items add column by_hand text")
    assert "this changed: the target's schema" in approve(half, BEN, "R-2")


def test_a_row_by_hand_ends_the_way_on(half: Stage) -> None:
    half.sql("prod", "insert into supabase_migrations.schema_migrations values ('20260101000000')")
    assert "was added or taken out since" in told(half.slack.say(ANA, "/migrate resume R-1"))


def test_what_cannot_be_gone_on_with_is_said_plainly(half: Stage) -> None:
    assert "There is no request" in told(half.slack.say(ANA, "/migrate resume R-9"))
    assert "--done takes a number up to 4" in told(half.slack.say(ANA, "/migrate resume R-1 --done 5"))
    told(half.slack.say(ANA, "/migrate resume R-1"))
    assert "is waiting" in told(half.slack.say(ANA, "/migrate resume R-2"))


def test_it_is_tried_on_a_copy_first_where_the_policy_says_so(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod=rules(1, 'rehearsal = "required"'))
    stage.migration(FILE, SQL)
    stage.start_bot()
    said = told(stage.slack.say(ANA, "/migrate push prod"))
    assert "could not create unique index" in said  # a copy shows it, so it cannot even be asked for
    stage.sql("prod", "create table public.trap (id int primary key)")
    stage.migration(FILE, "create table public.items (name text);\n" + ON_ROWS)
    stage.sql("prod", "insert into public.trap values (1)")
    stage.slack.say(ANA, "/migrate push prod")
    card_of(stage, "R-1", "[Approve for prod]")
    approve(stage, BEN)
    card_of(stage, "R-1", "failed half-way")

    stage.sql("prod", "delete from public.trap")
    assert "R-2 is asked for" in told(stage.slack.say(ANA, "/migrate resume R-1"))
    shown = card_of(stage, "R-2", "[Approve for prod]")
    assert "On a copy of shop/prod as it is now, 2 statements ran without an error." in shown
    decided(stage, "R-2")
    in_order(stage)


ON_ROWS = """\
create index concurrently items_name on public.items (name);
do $$ begin if exists (select from public.trap) then raise exception 'rows'; end if; end $$;
create index concurrently items_upper on public.items (upper(name));
"""
"""What a copy without rows lets pass."""


def broken_index(stage: Stage, database: str = "prod") -> None:
    """Somebody's CREATE INDEX CONCURRENTLY that failed."""
    stage.sql(database, "create table public.dup (a int); insert into public.dup values (1), (1)")
    with session(stage, database) as connection, pytest.raises(Exception, match="could not create unique index"):
        connection.execute("create unique index concurrently dup_a on public.dup (a)")


def test_an_invalid_index_is_cleaned_up_when_somebody_agreed(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod=rules(1))
    broken_index(stage)
    stage.start_bot()
    assert "R-1 is asked for: clean up shop/prod" in told(stage.slack.say(ANA, "/migrate clean up prod"))
    shown = card_of(stage, "R-1", "[Approve for prod]")
    assert "Drops 1 INVALID index, without keeping anybody from reading or writing." in shown
    assert "public.dup_a, " in shown
    assert "CREATE UNIQUE INDEX dup_a ON public.dup USING btree (a)" in shown
    assert "No rows. No query uses an INVALID index" in shown

    decided(stage, "R-1")

    assert stage.sql("prod", "select to_regclass('public.dup_a')") == [(None,)]
    assert stage.sql("prod", "select count(*) from public.dup") == [(2,)]
    assert names(stage) == []
    assert "has no INVALID index: there is nothing to clean up" in told(stage.slack.say(ANA, "/migrate clean up prod"))
    in_order(stage)


def test_a_partition_that_is_half_detached_is_cleaned_up_too(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    stage.sql("dev", "create table public.days (d int) partition by list (d)")
    stage.sql("dev", "create table public.monday partition of public.days for values in (1)")
    with session(stage, "dev") as reader, session(stage, "dev") as gives_up:
        reader.execute("begin; select from public.days")
        gives_up.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            gives_up.execute("alter table public.days detach partition public.monday concurrently")
    ran = stage.cli("clean", "up", "dev", "--json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded")
    assert stage.sql("dev", "select count(*) from pg_inherits where inhdetachpending") == [(0,)]
    assert "Finishes to detach public.monday from public.days" in stage.cli("show", "R-1").out


def test_an_index_that_became_valid_meanwhile_is_left_alone(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod=rules(1))
    broken_index(stage)
    stage.start_bot()
    told(stage.slack.say(ANA, "/migrate clean up prod"))
    card_of(stage, "R-1", "[Approve for prod]")
    with session(stage, "prod") as connection:
        connection.execute("delete from public.dup")
        connection.execute("reindex index concurrently public.dup_a")
    assert "this changed" in approve(stage, BEN)
    assert stage.sql("prod", "select indisvalid from pg_index where indexrelid = 'dup_a'::regclass") == [(True,)]


def test_an_index_that_is_being_built_is_nobodys_to_clean_up(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod=rules(1))
    stage.sql("prod", "create table public.busy (a int)")
    with session(stage, "prod") as reader, session(stage, "prod") as builder:
        reader.execute("begin")
        reader.execute("insert into public.busy values (1)")
        builder.pgconn.send_query(b"create index concurrently busy_a on public.busy (a)")
        there = "select count(*) from pg_index where indexrelid = to_regclass('public.busy_a')"
        wait_for(lambda: stage.sql("prod", there) == [(1,)])
        ran = stage.cli("clean", "up", "prod", "--json")
        assert (ran.code, ran.json["reason"]) == (5, "target_busy")
        assert "builds an index of its table at this moment" in ran.json["message"]
        reader.execute("rollback")


def test_nothing_is_left_to_clean_up_behind_what_cleaned_up_itself(half: Stage) -> None:
    assert half.sql("prod", "select to_regclass('public.items_name')") == [(None,)]
    assert "R-1 left no INVALID index" in told(half.slack.say(ANA, "/migrate clean up R-1"))


def test_a_line_that_names_too_little_or_too_much_is_answered(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    for line in ("clean", "clean up", "clean up R-1 R-2", "resume", "resume R-1 R-2"):
        ran = stage.cli(*line.split(), "--json")
        assert (ran.code, ran.json["reason"]) == (2, "bad_usage"), line
