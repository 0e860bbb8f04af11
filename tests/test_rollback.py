"""Undoing a request: the ways that are proven, what they lose, the request that runs one, and what the history says then."""

from collections.abc import Callable
from typing import Any

import pytest
from postgres_fixtures import run_sql
from run_support import at_start
from run_support import session

from ops.catalog import catalog_hash
from ops.undo.contents import keys_of
from ops.undo.contents import read_columns
from ops.undo.contents import read_rows
from sandbox.stage import Stage

Make = Callable[..., Stage]
ALONE = 'approvals = 0\nbackup = "none"\nprior_copy = "off"\n'
BASE = "20260101000000_orders.sql"
FILE = "20260102000000_change.sql"
NEXT = "20260103000000_next.sql"
DOWN = "20260102000000_change.down.sql"


@pytest.fixture
def shop(make_stage: Make) -> Stage:
    """Nobody has to agree; one table is there, with 40 rows."""
    stage = make_stage(prod=ALONE, empty=True)
    stage.migration(BASE, "create table public.orders (id int primary key, note text, at timestamptz default now());")
    push(stage, "R-1")
    stage.sql("prod", "insert into public.orders (id, note) select n, 'note ' || n from generate_series(1, 40) as n")
    return stage


def push(stage: Stage, request: str = "R-2", *, files: dict[str, str] | None = None) -> dict[str, Any]:
    """Commit these files and push them; the push is to be this request, and to succeed."""
    for name, sql in (files or {}).items():
        stage.migration(name, sql)
    ran = stage.cli("push", "prod", "--json")
    assert (ran.json["request"], ran.json["status"]) == (request, "succeeded"), ran.out + ran.err
    return ran.json


def offers(stage: Stage, request: str = "R-2") -> dict[str, dict[str, Any]]:
    ran = stage.cli("rollback", request, "--json")
    assert ran.code == 0, ran.out + ran.err
    return {one["way"]: one for one in ran.json["offers"]}


def why_not(stage: Stage, way: str = "inverse") -> str:
    found = offers(stage)[way]
    assert not found["offered"]
    return str(found["because"])


def undo(stage: Stage, way: str, request: str = "R-2") -> dict[str, Any]:
    ran = stage.cli("rollback", request, "--with", way, "--json")
    assert ran.json["status"] == "succeeded", ran.out + ran.err
    return ran.json


def state(stage: Stage) -> tuple[str, list[tuple[Any, ...]]]:
    """The schema's hash and the whole history."""
    with session(stage, "prod") as connection:
        history = connection.execute("select * from supabase_migrations.schema_migrations order by 1").fetchall()
        return catalog_hash(connection), history


def test_an_addition_is_taken_back_by_derived_statements_and_can_be_pushed_again(shop: Stage) -> None:
    before = state(shop)
    change = (
        "alter table public.orders add column total int default 0;\ncreate table public.extra (id int primary key);"
    )
    push(shop, files={FILE: change})
    after = state(shop)
    shop.sql("prod", "update public.orders set total = id where id <= 12; insert into public.extra values (1), (2)")

    found = offers(shop)["inverse"]

    assert found["loses"] == [
        "Table public.extra goes with 2 rows.",
        "Column public.orders.total goes with what it holds: 12 of 40 rows have another value than its default.",
    ]
    assert found["does"] == [
        "It runs 2 statements.",
        "It takes 20260102000000 out of the history, so that it can be planned again.",
    ]
    assert found["proof"][0].startswith("Behind it the copy's schema has the very hash that R-2 found")
    assert found["proof"][1] == "What stays of 1 table held the same before and after it, by hashes of 40 rows."
    undone = undo(shop, "inverse")
    assert undone["kind"] == "rollback"
    assert state(shop) == before
    assert shop.sql("prod", "select count(*), count(note) from public.orders") == [(40, 40)]
    assert [one["version"] for one in shop.cli("plan", "prod", "--json").json["pending"]] == ["20260102000000"]
    push(shop, "R-4")
    assert state(shop) == after


def test_what_was_undone_has_nothing_to_undo_nor_has_its_rollback(shop: Stage) -> None:
    push(shop, files={FILE: "create table public.extra (id int primary key);"})
    run_sql(shop.postgres, shop.databases["prod"], "insert into public.extra select generate_series(1, 1234)")
    assert offers(shop)["inverse"]["loses"] == ["Table public.extra goes with 1,234 rows."]
    undo(shop, "inverse")

    ran = shop.cli("rollback", "R-2", "--json")

    assert (ran.json["status"], [one["way"] for one in ran.json["offers"]]) == ("nothing_to_do", ["nothing"])
    assert "has the very hash that R-2 found before its first file" in ran.json["offers"][0]["proof"][0]
    assert "There is nothing to undo: Nothing of R-2 is on shop/prod." in shop.cli("rollback", "R-2").out
    refused = shop.cli("rollback", "R-2", "--with", "inverse", "--json")
    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    ran = shop.cli("rollback", "R-3", "--json")
    assert (ran.code, ran.json["message"]) == (3, "R-3 is a rollback, which ran no migrations of a branch.")
    assert shop.cli("rollback", "R-9", "--json").json["reason"] == "unknown_request"
    assert shop.cli("rollback", "--json").json["reason"] == "bad_usage"
    assert shop.cli("rollback", "R-2", "--with", "luck", "--json").json["reason"] == "bad_usage"


def test_a_run_that_failed_has_nothing_to_undo_and_a_diff_proves_it(shop: Stage) -> None:
    """Also when others have changed the schema since: then the history, replayed, makes exactly what is there."""
    shop.migration(FILE, "create table public.extra (id int primary key);\nselect 1/0;")
    assert shop.cli("push", "prod", "--json").json["status"] == "failed"
    assert offers(shop)["nothing"]["proof"][0].startswith("The schema of shop/prod has the very hash that R-2 found")
    (shop.repository / "supabase" / "migrations" / FILE).unlink()
    push(shop, "R-3", files={NEXT: "create table public.later (id int primary key);"})
    assert offers(shop)["nothing"]["proof"] == [
        "No row of the history of shop/prod is R-2's any more.",
        "Replayed on a copy, the history makes exactly the schema of shop/prod.",
    ]
    shop.sql("prod", "create table public.by_hand (id int)")
    found = offers(shop)["nothing"]
    assert (found["proof"], "table public.by_hand" in found["because"]) == ([], True)


def test_the_repositorys_own_script_comes_first_and_runs_as_it_stands(shop: Stage) -> None:
    before = state(shop)
    push(shop, files={FILE: "alter table public.orders rename column note to remark;"})
    shop.commit({f"supabase/rollbacks/{DOWN}": "alter table public.orders rename column remark to note;"}, "Down")

    found = offers(shop)

    assert list(found)[:2] == ["script", "inverse"]
    assert found["script"]["offered"]
    assert found["script"]["does"][0] == f"It runs {DOWN}."
    assert not found["inverse"]["offered"]  # by names alone a column went and another came
    undo(shop, "script")
    assert state(shop) == before
    assert shop.sql("prod", "select count(note) from public.orders") == [(40,)]
    [undone] = shop.events("migration_undone")
    assert (undone.data or {})["version"] == "20260102000000"
    assert (undone.data or {})["catalog_sha256"] == before[0]


NOT_BACK = {
    "select 1;": "is not what it was before R-2: table public.orders",
    "alter table public.orders drop column total;\ncreate table public.x ();": "before R-2: table public.x",
    "alter table public.orders drop column totals;": 'column "totals" of relation "orders" does not exist',
    "begin;\nalter table public.orders drop column total;": "line 1",
}


def test_a_script_that_does_not_lead_back_is_not_offered(shop: Stage) -> None:
    push(shop, files={FILE: "alter table public.orders add column total int;"})
    for script, why in NOT_BACK.items():
        shop.commit({f"supabase/rollbacks/{DOWN}": script}, "Down")
        assert why in why_not(shop, "script")
    refused = shop.cli("rollback", "R-2", "--with", "script", "--json")
    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    assert len(shop.events("requested")) == 2


def test_what_a_script_does_to_rows_is_told(shop: Stage) -> None:
    push(shop, files={FILE: "alter table public.orders drop column note;"})
    script = "alter table public.orders add column note text;\nupdate public.orders set note = '?', at = null;"
    shop.commit({f"supabase/rollbacks/{DOWN}": script}, "Down")

    found = offers(shop)["script"]

    assert found["offered"], found
    assert found["loses"] == [
        "The rows of public.orders are changed by it.",
        "Column public.orders.note comes back with what it puts there, not with what was there before R-2.",
    ]
    assert why_not(shop) == "It dropped column public.orders.note, and what that held would not come back."


def test_what_was_done_to_rows_is_no_matter_of_definitions(shop: Stage) -> None:
    push(shop, files={FILE: "alter table public.orders add column total int;\nupdate public.orders set note = 'x';"})
    assert why_not(shop) == f"{FILE}, line 2: it changed rows of public.orders, which would stay as they are."


def test_a_backfill_of_a_new_column_is_taken_back_unless_a_trigger_left_its_mark(shop: Stage) -> None:
    change = "alter table public.orders add column total int;\nupdate public.orders set total = id;"
    push(shop, files={FILE: change})
    assert offers(shop)["inverse"]["loses"] == [
        "Column public.orders.total goes with what it holds: 40 of 40 rows have a value."
    ]
    undo(shop, "inverse")
    shop.sql(
        "prod",
        """
        create function public.touch() returns trigger language plpgsql as
          $$ begin new.at = coalesce(new.at, now()) + interval '1 day'; return new; end $$;
        create trigger touch before update on public.orders for each row execute function public.touch();
        """,
    )
    push(shop, "R-4")
    found = offers(shop, "R-4")["inverse"]
    assert "writing public.orders ran more than it says, which may have changed other rows." in found["because"]


def test_all_files_of_a_request_go_and_each_row_with_them(shop: Stage) -> None:
    before = state(shop)
    push(
        shop,
        files={FILE: "create table public.a (id int primary key);", NEXT: "create view public.v as select * from a;"},
    )
    found = offers(shop)["inverse"]
    assert found["does"][1] == (
        "It takes 20260103000000, 20260102000000 out of the history, so that they can be planned again."
    )
    undo(shop, "inverse")
    assert state(shop) == before
    assert len(shop.events("migration_undone")) == 2


def test_what_came_later_goes_first(shop: Stage) -> None:
    push(shop, files={FILE: "alter table public.orders add column total int;"})
    push(shop, "R-3", files={NEXT: "create view public.totals as select total from public.orders;"})

    ran = shop.cli("rollback", "R-2", "--json")

    assert (ran.code, ran.json["reason"]) == (3, "not_allowed")
    assert ran.json["message"] == "On shop/prod R-3 came after R-2."
    assert ran.json["hint"] == "Undo first: `rollback R-3`."
    undo(shop, "inverse", "R-3")
    undo(shop, "inverse")
    row = "insert into supabase_migrations.schema_migrations (version, name) values ('20270101000000', 'theirs')"
    push(shop, "R-6")
    shop.sql("prod", row)
    assert (
        "20270101000000 came after R-6, and not through this log"
        in shop.cli("rollback", "R-6", "--json").json["message"]
    )


def test_what_somebody_else_changed_since_stays_and_what_they_built_on_it_is_in_the_way(shop: Stage) -> None:
    push(shop, files={FILE: "alter table public.orders add column total int;"})
    shop.sql("prod", "create view public.totals as select total from public.orders")
    assert "other objects depend on it" in why_not(shop)
    shop.sql("prod", "drop view public.totals; create index by_hand on public.orders (note)")

    found = offers(shop)["inverse"]

    assert found["proof"][0].endswith("What was changed otherwise since stays: index public.by_hand.")
    undo(shop, "inverse")
    assert shop.sql("prod", "select to_regclass('public.by_hand') is not null") == [(True,)]
    assert shop.sql("prod", "select count(*) from pg_attribute where attname = 'total'") == [(0,)]


def test_a_definition_with_a_secret_is_not_put_into_a_request(make_stage: Make) -> None:
    stage = make_stage(prod='approvals = 0\nbackup = "intact"\nprior_copy = "off"\n', empty=True)
    body = "create or replace function public.send() returns text language sql as $$ select '{}' $$;"
    stage.sql("prod", body.format("postgres://app:tr0ub4dor-and-3@db.example/x"))
    push(stage, "R-1", files={FILE: body.format("nothing")})
    found = offers(stage, "R-1")["inverse"]
    assert found["because"] == "The definition of function public.send() holds a secret, which a request may not keep."
    assert "tr0ub4dor" not in str(stage.events())


def test_what_the_history_does_not_tell_is_not_taken_for_what_was_there(shop: Stage) -> None:
    """By the history alone the function would have to go; but it was there before."""
    body = "create or replace function public.send() returns text language sql as $$ select '{}' $$;"
    shop.sql("prod", body.format("before"))
    push(shop, files={FILE: body.format("after")})
    assert "another hash than before R-2" in why_not(shop)


def test_a_history_that_makes_nothing_is_no_obstacle_where_the_runs_backup_knows_the_schema(make_stage: Make) -> None:
    """A project that was there before it had migrations."""
    stage = make_stage(prod='approvals = 0\nbackup = "intact"\nprior_copy = "off"\n', empty=True)
    stage.sql("prod", "create table public.orders (id int primary key); insert into public.orders values (1)")
    before = state_of_schema(stage)
    push(stage, "R-1", files={FILE: "alter table public.orders add column total int;"})
    found = offers(stage, "R-1")["inverse"]
    assert found["offered"], found
    undo(stage, "inverse", "R-1")
    assert state_of_schema(stage) == before
    assert stage.sql("prod", "select count(*) from supabase_migrations.schema_migrations") == [(0,)]


def state_of_schema(stage: Stage) -> str:
    with session(stage, "prod") as connection:
        return catalog_hash(connection)


def test_without_history_or_backup_nobody_knows_what_was_there(make_stage: Make) -> None:
    stage = make_stage(prod=ALONE, empty=True)
    stage.sql("prod", "create table public.orders (id int primary key)")
    push(stage, "R-1", files={FILE: "alter table public.orders add column total int;"})
    found = offers(stage, "R-1")["inverse"]
    assert "The schema before R-1 is not known. The history of shop/prod cannot be replayed" in found["because"]


def test_half_a_file_is_taken_back_with_the_whole_ones(shop: Stage) -> None:
    before = state(shop)
    half = "create index concurrently notes on public.orders (note);\nselect 1/0;"
    shop.migration(FILE, "create table public.a (id int primary key);")
    shop.migration(NEXT, half)
    ran = shop.cli("push", "prod", "--json")
    assert ran.json["status"] == "partially_applied", ran.out
    found = offers(shop)
    assert "no script of the repository is for a part" in found["script"]["because"]
    assert found["inverse"]["offered"], found["inverse"]
    undo(shop, "inverse")
    assert state(shop) == before


def test_a_reverse_script_beside_the_migrations_is_none_of_them(shop: Stage) -> None:
    shop.commit({f"supabase/migrations/{DOWN}": "drop table public.a;"}, "Down")
    shop.commit({f"supabase/migrations/{FILE}": "create table public.a (id int primary key);"}, "Up")

    planned = shop.cli("plan", "prod", "--json").json

    assert [one["version"] for one in planned["pending"]] == ["20260102000000"]
    assert "would run it before 20260102000000_change.sql: move it to supabase/rollbacks" in planned["skipped"][DOWN]
    push(shop)
    assert offers(shop)["script"]["offered"]
    shop.commit({f"supabase/rollbacks/{DOWN}": "drop table public.a;"}, "Twice")
    assert "twice, in rollbacks and in migrations" in why_not(shop, "script")


def test_a_policy_that_refuses_loss_refuses_it_here_too(make_stage: Make) -> None:
    stage = make_stage(prod=f'{ALONE}hazards = {{ data_loss = "refused" }}\n', empty=True)
    push(stage, "R-1", files={FILE: "create table public.a (id int primary key);"})
    ran = stage.cli("rollback", "R-1", "--with", "inverse", "--json")
    assert (ran.code, ran.json["reason"]) == (3, "hazard_forbidden")
    assert state(stage)[1] != []


def test_values_that_do_not_fit_the_earlier_type_are_no_small_matter(shop: Stage) -> None:
    """From numeric back to integer Postgres rounds, and says nothing."""
    push(shop, files={FILE: "create table public.prices (id int primary key, amount int);"})
    push(shop, "R-3", files={NEXT: "alter table public.prices alter amount type numeric;"})
    assert offers(shop, "R-3")["inverse"]["offered"]
    shop.sql("prod", "insert into public.prices values (1, 1.5)")
    assert why_not_of(shop, "R-3").startswith("On the copy the reversal failed: 20260103000000_next.undo.sql, line ")


def why_not_of(stage: Stage, request: str) -> str:
    return str(offers(stage, request)["inverse"]["because"])


def test_too_many_rows_are_not_copied_and_what_only_they_prove_is_not_offered(shop: Stage) -> None:
    at_start(shop, "import ops.undo.proving", "ops.undo.proving.MOST_BYTES = 0")
    push(shop, files={FILE: "alter table public.orders add column total int;"})
    proof = offers(shop)["inverse"]["proof"]
    assert any(one.startswith("The copy had no rows, since all of them are ") for one in proof)
    assert not any("hash" in one for one in proof[1:])
    push(shop, "R-3", files={NEXT: "alter table public.orders alter note type text, alter id type bigint;"})
    assert why_not_of(shop, "R-3").endswith('What ALTER COLUMN "id" TYPE does to rows was not seen.')


def test_tables_that_may_not_be_read_are_left_out_of_what_is_compared(shop: Stage) -> None:
    shop.sql("prod", "create table public.theirs (id int); revoke all on public.theirs from anon")
    with session(shop, "prod") as connection:
        columns = read_columns(connection)
        assert columns.keys() == {("public", "orders"), ("public", "theirs")}
        assert [name for name, one in columns["public", "orders"].items() if one.is_key] == ["id"]
        connection.execute("set role anon")
        found = read_rows(connection, columns, keys_of(columns, columns))
    assert {table: rows.count for table, rows in found.items()} == {("public", "orders"): 40}
