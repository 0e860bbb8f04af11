"""A rehearsal as a whole, on real copies of real databases: what it says, and that the real run then does the same."""

import json
import re
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
from apply_helpers import ListJournal
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.apply import apply_migration
from ops.apply_journal import Patience
from ops.apply_session import Sessions
from ops.errors import OpsError
from ops.guard import Guard
from ops.history import read_versions
from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from ops.rehearsal.report import from_json
from ops.rehearsal.sizes import TargetFacts
from ops.rehearsal.sizes import read_target
from ops.rehearsal.unseen import Circumstances
from ops.rehearsal.unseen import unseen
from ops.scratch import Limits

SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, email text);
    CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users, total int, note text);
    ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON orders USING (user_id = 1);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) AS n;
    INSERT INTO orders SELECT n, n, n, repeat('x', 500) FROM generate_series(1, 1000) AS n;
    ANALYZE;
"""
# Plain ones and others, a file in parts, one with a block of its own, one that ends as another role.
FILES = (
    "create table a (i int primary key);\ninsert into a values (1);",
    "alter table a add column t text default 'x';\ncreate index a_t on a (t);",
    "do $$ begin execute 'alter table orders drop column note'; end $$;",
    "create table b (i int);\ncreate index concurrently b_i on b (i);\ninsert into b values (1);",
    "begin;\nalter table orders alter total type bigint;\ncommit;",
    "set role anon;\nselect 1;",
    "create function f() returns int language sql as 'select 1';\ncreate view v as select f() as n, i from a;",
    "drop table users cascade;\nalter table orders disable row level security;",
)


@pytest.fixture
def target():
    with fresh_target(supabase=True) as fresh:
        fresh.run(SCHEMA)
        yield fresh


def files(*texts: str):
    return tuple(migration(text, f"202601010000{number:02}_change.sql") for number, text in enumerate(texts))


def rehearsed(target, *texts: str, **options) -> Rehearsal:
    return rehearse_files(lambda: target.url, files(*texts), **options)


def really_run(target, *texts: str) -> list[str]:
    """The catalog hash after each file, as a run logs it."""
    journal, sessions = ListJournal(), Sessions()
    pending = files(*texts)
    with Guard(partial(target.connect, "guard"), "shop/prod") as guard:
        for one in pending:
            apply_migration(
                one,
                connect=partial(target.connect, "migrate"),
                guard=guard,
                patience=Patience(seconds=5),
                journal=journal,
                stop=lambda: False,
                expect_history=read_versions(target.connection),
                sessions=sessions,
                following=next((other for other in pending if other.version > one.version), None),
            )
        sessions.close()
    return [entry[2] for entry in journal.entries if isinstance(entry, tuple) and entry[0] == "applied"]


# --- the whole -----------------------------------------------------------------------------------------------------


def test_the_real_run_leaves_exactly_what_the_rehearsal_foretold(target, tmp_path):
    found = rehearsed(target, *FILES, cache=tmp_path / "schemas")
    assert found.outcome is Outcome.PASSED, (found.because, found.files)
    assert found.is_exact, found.inexact_because
    foretold = found.expected()
    assert foretold is not None
    assert [one["catalog_sha256"] for one in foretold] == really_run(target, *FILES)
    assert len({one["catalog_sha256"] for one in foretold}) == len(FILES) - 1  # one file changes nothing


def test_two_rehearsals_foretell_the_same(target, tmp_path):
    one = rehearsed(target, *FILES, cache=tmp_path / "schemas")
    two = rehearsed(target, *FILES, cache=tmp_path / "schemas")
    assert one.expected() is not None
    assert one.expected() == two.expected()
    assert one.diff_text == two.diff_text
    assert one.changes == two.changes


def test_the_target_is_only_read(target, tmp_path):
    before = target.rows("SELECT count(*) FROM pg_class UNION ALL SELECT count(*) FROM orders")
    rehearsed(target, *FILES, cache=tmp_path / "schemas")
    assert target.rows("SELECT count(*) FROM pg_class UNION ALL SELECT count(*) FROM orders") == before


def test_what_it_tells_of_a_plan(target, tmp_path):
    said: list[str] = []
    found = rehearsed(
        target,
        "alter table orders alter total type bigint;",
        "drop table users cascade;\nalter table orders disable row level security;",
        cache=tmp_path / "schemas",
        progress=said.append,
    )
    first, second = found.files
    (rewrite,) = first.statements[0].rewrites
    assert (rewrite.relation, rewrite.kind, rewrite.rows) == ("public.orders", "table", 1000)
    assert rewrite.bytes is not None
    assert rewrite.bytes > 500_000
    drops = second.statements[0].drops
    assert [(drop.kind, drop.name, drop.cascaded, drop.rows) for drop in drops] == [
        ("table", "public.users", False, 1000),
        ("table constraint", "orders_user_id_fkey on public.orders", True, None),
    ]
    assert {change.name for change in found.changes if change.kind == "table"} >= {"users", "orders"}
    assert "total integer" in found.diff_text
    told = found.diff_text + json.dumps(found.to_json())
    assert [told[max(place.start() - 40, 0) : place.end() + 40] for place in re.finditer("countersign", told)] == []
    assert "table-without-rls" in {change.rule for change in found.access_opened}
    assert any("real traffic" in sentence for sentence in found.unseen)
    assert set(found.phases) == {"copy", "before", "files", "after", "comparing"}
    assert [words for words in said if " of 2, " in words] == [
        "rehearsal: 1 of 2, 20260101000000_change.sql",
        "rehearsal: 2 of 2, 20260101000001_change.sql",
    ]
    assert {one.step for one in said} == {"rehearsal"}
    assert from_json(json.loads(json.dumps(found.to_json())), found.diff_text) == found


def test_a_failing_file_is_shown_like_a_compilers_error(target):
    found = rehearsed(target, "create table a (i int);", "select 1;\nalter table a add column b intger;", "select 1;")
    assert found.outcome is Outcome.FAILED
    assert [one.outcome for one in found.files] == ["passed", "failed", "not_run"]
    assert found.because == ('20260101000001_change.sql, line 2: type "intger" does not exist (SQLSTATE 42704).')
    assert found.files[1].error["caret"].endswith("^")
    assert found.expected() is None
    assert from_json(found.to_json()) == found


def test_a_rehearsal_tells_all_that_it_saw(target):
    """More than a card shows, since the hazards are judged on it."""
    target.run("".join(f"CREATE TABLE t{number} (i int);" for number in range(60)))
    found = rehearsed(target, "do $$ begin for n in 0..59 loop execute 'drop table t' || n; end loop; end $$;")
    (facts,) = found.files[0].statements
    assert (len(facts.drops), facts.more) == (60, 0)


def test_an_endless_statement_fails_and_nothing_is_left(target):
    found = rehearsed(target, "select 1;\nselect pg_sleep(600);", limits=Limits(60, 1))
    assert (found.outcome, found.files[0].error["line"]) == (Outcome.FAILED, 2)
    assert "took longer than 1 s" in found.because


def test_a_file_that_fills_the_disk_fails_and_is_pointed_at(target):
    text = "select 1;\ncreate table big as select generate_series(1, 2000000000) as n;"
    found = rehearsed(target, text, limits=Limits(120, 100, disk_bytes=150 * 2**20))
    assert (found.outcome, found.files[0].error["line"]) == (Outcome.FAILED, 2)
    assert "disk" in found.because


def test_with_data_the_rows_are_there_to_be_counted_and_to_say_no(target):
    passing = rehearsed(target, "update orders set total = 1;", with_data=True)
    assert (passing.outcome, passing.with_data) == (Outcome.PASSED, True), passing.because
    assert passing.files[0].statements[0].rows == (TouchedRows("public.orders", 0, 1000, 0),)
    assert not any("no rows" in sentence for sentence in passing.unseen)
    failing = rehearsed(target, "alter table orders add constraint small check (total < 10);", with_data=True)
    assert (failing.outcome, failing.files[0].error["sqlstate"]) == (Outcome.FAILED, "23514")


def test_what_a_file_builds_on_what_looks_at_it_ends_no_rehearsal(target):
    found = rehearsed(target, "create view mine as select * from pg_catalog.countersign_event; create table a (i int);")
    assert found.outcome is Outcome.PASSED
    assert [(one.change, one.name) for one in found.changes if one.kind in ("view", "table")] == [("created", "a")]


def test_one_that_turns_out_impossible_still_tells_what_ran(target):
    found = rehearsed(
        target, "drop table orders;", "create schema s; create extension vector schema s;", "drop table users;"
    )
    assert found.outcome is Outcome.IMPOSSIBLE
    assert "vector cannot be created in s" in found.because
    assert [one.outcome for one in found.files] == ["passed", "not_run", "not_run"]
    assert [one.name for one in found.files[0].statements[0].drops if not one.cascaded] == ["public.orders"]


def test_a_target_that_is_not_there_makes_it_impossible(target):
    found = rehearse_files(lambda: "postgresql://postgres@127.0.0.1:1/nowhere", files("select 1"))
    assert found.outcome is Outcome.IMPOSSIBLE
    assert "No connection to 127.0.0.1:1/nowhere" in found.because
    assert found.expected() is None


def test_a_stop_ends_it(target):
    with pytest.raises(OpsError) as caught:
        rehearsed(target, "select 1", stop=lambda: True)
    assert caught.value.reason == "stopped"


def test_an_extension_is_created_as_the_platform_does_it(target):
    text = "create extension if not exists vector with schema extensions;\ncreate table p (v extensions.vector(3));"
    found = rehearsed(target, text)
    assert found.outcome is Outcome.PASSED, found.because
    assert "vector" in {change.name for change in found.changes if change.kind == "extension"}
    assert found.stand_ins == ()


def test_an_extension_that_the_target_lacks_fails_as_it_will_there(target):
    found = rehearsed(target, "create table t (i int);\ncreate extension no_such_thing;")
    assert (found.outcome, found.files[0].error["line"]) == (Outcome.FAILED, 2)
    assert 'extension "no_such_thing" is not available' in found.because
    assert found.stand_ins == ()


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_sizes_come_from_the_target_partitions_counted_in(target):
    target.run("""
        CREATE TABLE "Logs" (i int, t text) PARTITION BY RANGE (i);
        CREATE TABLE logs_1 PARTITION OF "Logs" FOR VALUES FROM (0) TO (500);
        CREATE TABLE logs_2 PARTITION OF "Logs" FOR VALUES FROM (500) TO (1001);
        INSERT INTO "Logs" SELECT n, repeat('y', 500) FROM generate_series(1, 1000) AS n;
        CREATE TABLE never_analyzed (i int);
        ANALYZE "Logs";
    """)
    names = {"public.Logs", "public.logs_1", "public.never_analyzed", "public.orders_pkey", "public.nowhere"}
    found = read_target(target.url, names).sizes
    assert set(found) == names - {"public.nowhere"}
    assert found["public.Logs"].rows == 1000
    assert found["public.Logs"].bytes > 500_000 > found["public.orders_pkey"].bytes > 0
    assert found["public.never_analyzed"].rows is None


def test_a_relation_that_somebody_holds_costs_no_wait(target):
    with closing(target.connect()) as other:
        other.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        found = read_target(target.url, {"public.orders"}).sizes["public.orders"]
    assert found.rows == 1000
    assert found.bytes > 500_000


def test_a_target_that_cannot_be_asked_is_not_known():
    assert read_target("postgresql://postgres@127.0.0.1:1/nowhere", {"public.orders"}) == TargetFacts()


# --- what was not seen ---------------------------------------------------------------------------------------------

SAME = Circumstances(False, "PostgreSQL 17.4", "PostgreSQL 17.6", (), False, TargetFacts())


def sentences(text: str, how: Circumstances = SAME, *facts: StatementFacts) -> list[str]:
    file = migration(text, "20260101000000_x.sql")
    return list(unseen([file], [FileFacts(file.version, file.filename, "passed", 0.1, "ab", facts, ran=1)], how))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alter table t alter c set not null", "NOT NULL on t"),
        ("alter table t add constraint k check (c > 0)", "a CHECK on t"),
        ("alter table t add foreign key (c) references u", "a foreign key on t"),
        ("alter table t validate constraint k", "a constraint to be validated on t"),
        ("create unique index on t (c)", "a unique index on t"),
        ("alter table t alter c type int using c::int", "another type of a column on t"),
        ("alter table t add c int not null", "a new NOT NULL column without a default on t"),
        ("update t set c = 1", "UPDATE on t"),
        ("alter table t add constraint k check (c > 0) not valid", ""),
        ("create index on t (c)", ""),
        ("alter table t add c int not null default 1", ""),
        ("alter table t add c bigserial not null", ""),
        ("create table t (c int); alter table t alter c set not null; create unique index on t (c)", ""),
    ],
)
def test_what_rows_of_the_target_may_say_to_it(text, expected):
    found = sentences(text)
    if not expected:
        assert found == []
    else:
        assert found == [
            "The copy has no rows, so whether those on the target let this pass was not seen: "
            f"{expected} (20260101000000_x.sql, line 1)."
        ]
    assert sentences(text, replace(SAME, with_data=True)) == []


def test_a_long_list_is_cut():
    found = sentences("\n".join(f"update t{number} set c = 1;" for number in range(9)))
    assert found[0].endswith("UPDATE on t2 (20260101000000_x.sql, line 3) and 6 more.")


def test_locks_rewrites_stand_ins_versions_and_the_api():
    facts = StatementFacts(
        0, 1, 0.1, locks=(HeldLock("public.orders", "ShareLock"), HeldLock("public.small", "RowExclusiveLock")),
        rewrites=(Rewrite("public.orders", "table", 1, 1), Rewrite("public.old", "truncated", 1, 1)),
    )  # fmt: skip
    how = Circumstances(
        False, "PostgreSQL 18.4", "PostgreSQL 17.6", ("pg_cron", "pgcrypto", "postgis"), True,
        TargetFacts(has_standby=True),
    )  # fmt: skip
    assert sentences("select cron.schedule('x', '* * * * *', 'select 1'), crypt('a', 'b')", how, facts) == [
        "Nobody else used the copy, so how long locks on public.orders are waited for under real traffic was not seen.",
        "How long the target's disk takes to write public.orders anew, and how far its replicas fall behind, was not seen.",
        "Only the outside of pg_cron and pgcrypto was there, so what the plan does with them was not seen.",
        "The copy ran on PostgreSQL 18.4, the target is PostgreSQL 17.6: where the two differ was not seen.",
        "The API reads the schema anew after this; requests that come in meanwhile were not seen.",
    ]
