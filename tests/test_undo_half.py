"""Undoing what ended half-way, was gone on with, undone already or applied again: what is its own, and what is not."""

from collections.abc import Callable
from typing import Any

from sandbox.stage import Stage

Make = Callable[..., Stage]
ALONE = 'approvals = 0\nbackup = "none"\nprior_copy = "off"\n'
WITH_BACKUP = 'approvals = 0\nbackup = "restored"\nprior_copy = "off"\n'
FILE = "20260102000000_orders.sql"
NEXT = "20260103000000_next.sql"
HALF = """\
create table public.orders (id int primary key, name text);
create unique index concurrently orders_name on public.orders (name);
select 1/0;
"""
WHOLE = HALF.replace("select 1/0", "select 1")


def push(stage: Stage, status: str = "succeeded", **files: str) -> None:
    """Push these files besides; the push is to end so."""
    for name, sql in files.items():
        stage.migration({"file": FILE, "next": NEXT}[name], sql)
    ran = stage.cli("push", "prod", "--json")
    assert ran.json["status"] == status, ran.out + ran.err


def offers(stage: Stage, request: str = "R-1") -> dict[str, dict[str, Any]]:
    ran = stage.cli("rollback", request, "--json")
    assert ran.code == 0, ran.out + ran.err
    return {one["way"]: one for one in ran.json["offers"]}


def refusal(stage: Stage, request: str = "R-1") -> tuple[str, str]:
    ran = stage.cli("rollback", request, "--json")
    assert (ran.code, ran.json["reason"]) == (3, "not_allowed"), ran.out
    return ran.json["message"], ran.json["hint"]


def undo(stage: Stage, request: str = "R-1") -> None:
    ran = stage.cli("rollback", request, "--with", "inverse", "--json")
    assert ran.json["status"] == "succeeded", ran.out + ran.err


def there(stage: Stage, *tables: str) -> list[bool]:
    return [stage.sql("prod", f"select to_regclass('public.{one}') is not null")[0][0] for one in tables]


def test_tables_that_no_migration_made_are_not_taken_for_those_of_a_half_way_request(make_stage: Make) -> None:
    """They were dropped, with all their rows, since neither the history nor a backup knows them."""
    stage = make_stage(prod=ALONE, empty=True)
    stage.sql("prod", "create table public.customers (id int primary key); insert into public.customers values (1)")
    push(stage, "partially_applied", file=HALF)

    found = offers(stage)

    assert not any(one["offered"] for one in found.values())
    assert found["inverse"]["because"] == (
        "The history, replayed, does not make the schema that R-1 found, so nothing tells what it made."
    )
    refused = stage.cli("rollback", "R-1", "--with", "inverse", "--json")
    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    assert there(stage, "customers", "orders") == [True, True]


def test_what_somebody_made_since_a_half_way_request_is_not_dropped_with_it(make_stage: Make) -> None:
    stage = make_stage(prod=WITH_BACKUP, empty=True)
    push(stage, "partially_applied", file=HALF)
    stage.sql("prod", "create table public.hand (id int primary key); insert into public.hand values (1), (2)")

    found = offers(stage)

    assert found["inverse"]["because"] == (
        "The schema is not as R-1 left it half-way, and nothing tells what of it is its own."
    )
    assert found["restore"]["offered"]
    assert found["restore"]["loses"][0] == (
        "Not made by a statement of R-1, and gone with this all the same: public.hand."
    )
    assert "Table public.hand goes with 2 rows." in found["restore"]["loses"]
    assert "The backup has no table whose rows could be compared." in found["restore"]["proof"]
    stage.sql("prod", "drop table public.hand")
    assert offers(stage)["inverse"]["offered"]
    undo(stage)
    assert there(stage, "orders") == [False]


def test_half_a_request_is_undone_pushed_again_and_that_is_undone(make_stage: Make) -> None:
    stage = make_stage(prod=ALONE, empty=True)
    push(stage, "partially_applied", file=HALF)
    undo(stage)
    assert offers(stage)["nothing"]["proof"]  # and not once more what is gone
    resumed = stage.cli("resume", "R-1", "--json")
    assert (resumed.code, resumed.json["message"]) == (3, "R-2 took back what R-1 left.")
    push(stage, file=WHOLE)
    assert refusal(stage) == (
        "Nothing of R-1 itself is on shop/prod: R-3 applied the same files again.",
        "To undo that: `rollback R-3`.",
    )
    undo(stage, "R-3")
    assert there(stage, "orders") == [False]
    kinds = (stage.cli("rollback", "R-2", "--json").json["hint"], stage.cli("rollback", "R-4", "--json").json["hint"])
    assert kinds == ("`push prod` applies again what it took back.",) * 2


def test_a_half_that_was_gone_on_with_is_undone_by_the_other_half(make_stage: Make) -> None:
    """Alone, its table went and the row of the history stayed, so that the file could never be pushed again."""
    stage = make_stage(prod=ALONE, empty=True)
    push(stage, "partially_applied", file=HALF.replace("select 1/0", "select 1/count(*) from public.orders"))
    stage.sql("prod", "insert into public.orders values (1, 'x')")
    resumed = stage.cli("resume", "R-1", "--json")
    assert resumed.json["status"] == "succeeded", resumed.out + resumed.err

    assert refusal(stage) == ("R-2 went on with R-1.", "Undo both at once: `rollback R-2`.")

    assert there(stage, "orders") == [True]
    assert stage.sql("prod", "select version from supabase_migrations.schema_migrations") == [("20260102000000",)]


def test_what_was_pushed_behind_a_half_goes_first(make_stage: Make) -> None:
    stage = make_stage(prod=ALONE, empty=True)
    push(stage, "partially_applied", file=HALF)
    (stage.repository / "supabase" / "migrations" / FILE).unlink()
    push(stage, next="create table public.later (id int primary key);")

    assert refusal(stage) == ("On shop/prod R-2 came after R-1.", "Undo first: `rollback R-2`.")

    assert there(stage, "orders", "later") == [True, True]


def test_what_was_kept_when_it_ran_does_not_take_away_what_others_made_since(make_stage: Make) -> None:
    stage = make_stage(prod=ALONE.replace('"off"', '"64MB"'), empty=True)
    push(stage, file="create table public.orders (id int primary key, note text);")
    stage.sql("prod", "insert into public.orders values (1, 'x')")
    push(stage, next="alter table public.orders drop column note;")
    stage.sql("prod", "create table public.hand (id int primary key)")

    found = offers(stage, "R-2")["prior-copy"]

    assert found["because"] == ("The schema was changed otherwise since R-2, and nothing tells that from what it made.")
    stage.sql("prod", "drop table public.hand")
    assert offers(stage, "R-2")["prior-copy"]["offered"]


def test_what_ran_no_migration_says_what_takes_it_back(make_stage: Make) -> None:
    stage = make_stage(prod=ALONE, empty=True)
    stage.migration(FILE, WHOLE)
    ran = stage.cli("repair", "prod", "applied", FILE[:14], "--json")
    assert ran.json["status"] == "succeeded", ran.out + ran.err
    assert refusal(stage) == (
        "R-1 is a repair, which ran no migrations of a branch.",
        f"The opposite is `repair prod reverted {FILE[:14]}`.",
    )
