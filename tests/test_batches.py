"""Files that run in batches: which marks can be kept, what one batch sends, and that no row is met twice."""

import re
from pathlib import Path

import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import migration
from batches_support import COUNTED
from batches_support import MANY
from batches_support import MARK
from batches_support import ONCE
from batches_support import TABLE
from batches_support import apply_until
from batches_support import last_end
from batches_support import sent
from batches_support import times

from ops.apply_journal import Finished
from ops.apply_journal import Outcome
from ops.batch_pace import Pace
from ops.batch_pace import Steps
from ops.batch_place import FILE
from ops.batch_place import secret_in
from ops.batches import batched
from ops.errors import OpsError
from ops.errors import Reason
from ops.hazards import find_hazards
from ops.migration import Batches
from ops.migration import batches_of


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


@pytest.fixture
def counted(target):
    """A table whose rows count how often they were met."""
    target.run(TABLE)
    return target


# --- the mark


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-- countersign: in batches\nselect", Batches(None)),
        ("-- countersign: in batches of 5000 rows\n", Batches(5000)),
        ("--countersign:in batches of 1 row\r\nselect", Batches(1)),
        ("-- countersign: in batches", Batches(None)),
        ("\n-- countersign: in batches\n", None),
        ("-- countersign: in batches of many rows\n", None),
        ("-- countersign: in batches, please\n", None),
        ("select '-- countersign: in batches'", None),
    ],
)
def test_only_the_first_line_is_a_mark(text: str, wanted: Batches | None) -> None:
    assert batches_of(text) == wanted


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("-- countersign: in batchs\nupdate t set a = 1;", "batches_mark", 1, "is not understood"),
        ("-- why\n-- countersign: in batches\nupdate t set a = 1;", "batches_mark_place", 2, "first line alone"),
        (f"{MARK}-- countersign: in batches\nupdate t set a = 1;", "batches_mark_place", 2, "first line alone"),
        ("-- countersign: in batches of 0 rows\nupdate t set a = 1;", "batches_mark_rows", 1, "not 0"),
        ("-- countersign: in batches of 200000 rows\ndelete from t;", "batches_mark_rows", 1, "1 to 100,000 rows"),
        (f"{MARK}", "batches_one", 1, "one statement, not 0"),
        (f"{MARK}update t set a = 1;\nupdate t set b = 1;", "batches_one", 3, "one statement, not 2"),
        (f"{MARK}begin;\nupdate t set a = 1;\ncommit;", "batches_one", 3, "one statement, not 3"),
        (f"{MARK}insert into t select 1;", "batches_kind", 2, "Only an UPDATE or a DELETE"),
        (f"{MARK}do $$ begin update t set a = 1; end $$;", "batches_kind", 2, "Only an UPDATE or a DELETE"),
        (f"{MARK}with x as (select 1) update t set a = 1 from x;", "batches_whole", 2, "WITH"),
        (f"{MARK}update t set a = 1 returning a;", "batches_whole", 2, "RETURNING"),
        (f"{MARK}update t set a = 1 where current of c;", "batches_whole", 2, "cursor"),
        (f"{MARK}update t set a = (select max(a) from public.t);", "batches_whole", 2, "reads t itself"),
        (f"{MARK}delete from s.t using s.t as other where t.a = other.b;", "batches_whole", 2, "reads t itself"),
    ],
)
def test_a_mark_that_cannot_be_kept_is_refused(text: str, code: str, line: int, words: str) -> None:
    file = migration(text)
    assert [(one.code, one.line) for one in file.refusals] == [(code, line)]
    assert words in file.refusals[0].message
    hazards = find_hazards((file,), squawk=None)
    assert [(one.rule, one.line) for one in hazards if one.rule == "batches-refused"] == [("batches-refused", line)]


def test_another_schemas_table_of_the_same_name_may_be_read() -> None:
    file = migration(f"{MARK}update app.t set a = (select max(a) from old.t);")
    assert (file.refusals, file.batches) == ((), Batches(100))


def test_a_marked_update_of_all_rows_is_a_caution_and_says_that_it_runs_in_batches() -> None:
    marked = {one.rule: one.level.value for one in find_hazards((migration(COUNTED),), squawk=None)}
    plain = {one.rule: one.level.value for one in find_hazards((migration("update counted set n = 1"),), squawk=None)}
    assert (marked["update-without-where"], plain["update-without-where"]) == ("caution", "danger")
    assert marked["in-batches"] == "info"
    deletes = find_hazards((migration(f"{MARK}delete from counted"),), squawk=None)
    assert ("delete-without-where", "danger") in [(one.rule, one.level.value) for one in deletes]


# --- what is sent


@pytest.mark.parametrize(
    "statement",
    [
        "update t set a = 1",
        "update t set a = 1 -- to the end",
        "update only s.t as x set a = (select b from u where u.id = x.id) where x.a is null or x.b -- either",
        "delete from t where a = any (array[1, 2]) and exists (select from u where u.t = t.id)",
        "update t set a = 'where' where \"where\" = $$ where $$ /* where */",
        "update té set é = 'é' from (select 1 where true) as u where té.é is null and (u is not null)",
        "delete from t using u where u.id = t.id and not (t.a or t.b)",
    ],
)
def test_a_batch_is_the_statement_and_its_rows(statement: str) -> None:
    """It is parsed again and compared; what is wrong raises."""
    for text in (f"{MARK}{statement};", f"{MARK}{statement}\n;\n-- the end"):
        made = batched(migration(text)).over('"t"."id" > 1 AND "t"."id" <= 2')
        assert '"t"."id" > 1 AND "t"."id" <= 2' in made


def test_a_condition_that_would_be_another_statement_is_not_sent() -> None:
    with pytest.raises(ValueError, match="update t"):
        batched(migration(f"{MARK}update t set a = 1 where b")).over("true) or (true")


# --- the size of a batch


def test_batches_grow_to_the_time_for_one_and_shrink_where_others_wait() -> None:
    steps = Steps(Pace(batch_seconds=0.5), None)
    first = steps.rows
    steps.took(0.05, 0)
    assert steps.rows == first * 2
    steps.took(1.0, 0)
    assert steps.rows == first
    assert steps.rest_seconds == 0
    steps.took(0.4, 3)
    assert steps.rows <= first / 2
    assert steps.rest_seconds > 0
    steps.took(0.1, 0)
    assert steps.rest_seconds == 0


def test_a_batch_never_has_more_rows_than_the_file_wants_nor_none() -> None:
    steps = Steps(Pace(), Batches(50))
    steps.took(0.001, 0)
    assert steps.rows == 50
    while steps.failed():
        assert steps.rows >= 1
    assert steps.rows == 1


# --- on a server


def test_every_row_is_met_once_and_the_history_has_the_file_as_it_is_written(counted: Target) -> None:
    journal = ListJournal()
    apply(counted, migration(COUNTED), journal=journal)
    assert times(counted) == ONCE
    batches = sent(journal)
    assert [(one.number, one.rows, one.total) for one in batches] == [(n, 100, n * 100) for n in range(1, 11)]
    assert [one.after for one in batches[1:]] == [one.through for one in batches[:-1]]
    assert len({one.xid for one in batches}) == 10
    assert last_end(journal) == Finished("20260101000000", 0, (0,), Outcome.DONE, last_end(journal).seconds, batches=10)
    history = counted.rows("select version, name, statements from supabase_migrations.schema_migrations")
    assert history == [("20260101000000", "change", [COUNTED.removesuffix(";")])]


def test_only_the_rows_of_its_own_condition_are_written(counted: Target) -> None:
    counted.run("create table wanted (id bigint); insert into wanted select i from generate_series(1, 1000, 3) as i")
    file = f"{MARK}update counted as c set n = n + 1 from wanted as w where w.id = c.id and (c.n = 0 or c.n = 1)"
    journal = ListJournal()
    apply(counted, migration(file), journal=journal)
    assert times(counted) == [(0, 666), (1, 334)]
    assert sum(one.rows for one in sent(journal)) == 334


def test_a_delete_runs_in_batches_too(counted: Target) -> None:
    apply(counted, migration(f"{MARK}delete from counted where id % 2 = 0"))
    assert counted.rows("select count(*), count(*) filter (where id % 2 = 0) from counted") == [(500, 0)]


def test_the_example_of_the_page_runs(target: Target) -> None:
    page = (Path(__file__).parent.parent / "docs" / "backfills.md").read_text()
    (example,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    target.run("create table orders (id uuid primary key default gen_random_uuid(), total numeric, total_cents bigint);"
               "insert into orders(total) select i / 4.0 from generate_series(1, 7000) as i")  # fmt: skip
    journal = ListJournal()
    apply(target, migration(example), journal=journal)
    assert [one.rows for one in sent(journal)] == [5000, 2000]
    assert target.rows("select count(*) from orders where total_cents <> round(total * 100)") == [(0,)]


def test_an_empty_table_is_done_at_once(counted: Target) -> None:
    counted.run("truncate counted")
    journal = ListJournal()
    apply(counted, migration(COUNTED), journal=journal)
    assert sent(journal) == []
    assert last_end(journal).outcome is Outcome.DONE


KEYS = {
    "two columns": ("a int, b text, primary key (b, a)", "i % 7, 'k ' || i"),
    "uuid": ("id uuid primary key", "gen_random_uuid()"),
    "text with quotes": ('"Id" text primary key', "E'it''s \\\\ \"' || i || '\" %s'"),
    "time with zone": ("at timestamptz primary key", "timestamptz '2026-01-01Z' + i * interval '1 s'"),
    "numeric": ("id numeric primary key", "case when i = 1 then 'NaN' else i / 7.0 end"),
    "domain": ("id positive primary key", "i"),
    "double": ("id double precision primary key", "i / 3.0"),
    "bytea": ("id bytea primary key", "sha256(i::text::bytea)"),
    "collated": ('id text collate "C" primary key', "chr(97 + i % 26) || i"),
    "collated otherwise": ('id varchar(20) collate pg_c_utf8 primary key', "chr(97 + i % 26 - i % 2 * 32) || i"),
    "blank-padded": ("id char(8) primary key", "chr(97 + i / 26 % 26) || chr(97 + i % 26) || i"),
    "bits": ("id bit(10) primary key", "i::bit(10)"),
    "varying bits": ("id varbit(12) primary key", "i::bit(10)::varbit || substring(B'01' for i % 3)"),
    "numeric with scale": ("id numeric(8, 2) primary key", "i / 100.0"),
    "short float": ("id real primary key", "i / 3.0"),
    "interval": ("id interval primary key", "i * interval '1 day 3 hours' - interval '99 days'"),
    "time with zone of its own": ("id timetz primary key", "timetz '00:00+02' + i * interval '1 min'"),
    "address": ("id inet primary key", "inet '10.0.0.0' + i"),
    "enum and bool": ("a mood, b bool, c int, primary key (a, b, c)", "(enum_range(null::mood))[1 + i % 3], i % 2 = 0, i"),
}  # fmt: skip


@pytest.fixture(scope="module")
def keyed():
    """A database for all kinds of keys, one after the other."""
    with fresh_target() as fresh:
        fresh.run("create domain positive as int check (value > 0); create type mood as enum ('sad', 'ok', 'happy')")
        yield fresh


@pytest.mark.parametrize("key", KEYS)
def test_every_kind_of_key_is_gone_through_once_even_after_a_stop(keyed: Target, key: str) -> None:
    target, (columns, values) = keyed, KEYS[key]
    target.run(
        'drop table if exists "Many Keys"; truncate supabase_migrations.schema_migrations;'
        f'create table "Many Keys" (n int not null default 0, {columns});'
        f'insert into "Many Keys" select 0, {values} from generate_series(1, {MANY}) as i'
    )
    journal = ListJournal()
    stopped = apply_until(target, f'{MARK}update "Many Keys" set n = n + 1', journal, batches=4)
    assert stopped.reason is Reason.STOPPED
    apply(target, migration(f'{MARK}update "Many Keys" set n = n + 1'), journal=journal)
    assert times(target, '"Many Keys"') == ONCE


TELLING = {
    "address": ("mail text primary key", "mail", "'ana' || i || '@example.com'"),
    "birthday": ("born date primary key", "born", "date '1980-01-01' + i"),
    "number that people have": ("telephone bigint primary key", "telephone", "49170000000 + i"),
    "beside an id": ("id int generated always as identity, born date, primary key (id, born)", "born", "'1980-01-01'"),
}


@pytest.mark.parametrize("key", TELLING)
def test_the_log_holds_no_key_that_may_say_something_of_somebody(keyed: Target, key: str) -> None:
    """Nor a hash of one that is found again by trying all birthdays: its secret is in no log."""
    columns, name, value = TELLING[key]
    keyed.run(
        "drop table if exists people; truncate supabase_migrations.schema_migrations;"
        f"create table people (n int not null default 0, {columns});"
        f"insert into people ({name}) select ({value})::{'date' if name == 'born' else 'text'}"
        f"{'::bigint' if name == 'telephone' else ''} from generate_series(1, {MANY}) as i"
    )
    journal = ListJournal()
    apply(keyed, migration(f"{MARK}update people set n = n + 1"), journal=journal)
    assert times(keyed, "people") == ONCE
    told = [one.through for one in sent(journal)]
    guessed = keyed.rows(f"select encode(sha256(convert_to(array[{name}]::text[]::text, 'UTF8')), 'hex') from people")
    assert {one.key for one in told} == {None}
    assert len({one.hmac for one in told}) == MANY / 100
    assert not {one.hmac for one in told} & {one for (one,) in guessed}


@pytest.mark.parametrize("key", ["uuid primary key default gen_random_uuid()", "bigserial primary key"])
def test_what_the_server_gives_out_itself_may_be_told(keyed: Target, key: str) -> None:
    keyed.run(
        "drop table if exists people; truncate supabase_migrations.schema_migrations;"
        f"create table people (id {key}, n int not null default 0);"
        f"insert into people (n) select 0 from generate_series(1, {MANY})"
    )
    journal = ListJournal()
    apply(keyed, migration(f"{MARK}update people set n = n + 1"), journal=journal)
    assert all(one.through.key and one.through.hmac is None for one in sent(journal))


def test_its_secret_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    secret = secret_in(tmp_path)
    assert secret_in(tmp_path) == secret
    assert len(secret) == 32
    assert [one.name for one in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(OpsError, match="does not hold a secret"):
        secret_in(tmp_path)


def test_a_partitioned_table_is_gone_through_across_its_partitions(target: Target) -> None:
    target.run(
        "create table counted (id int primary key, n int not null default 0) partition by hash (id);"
        "create table c0 partition of counted for values with (modulus 2, remainder 0);"
        "create table c1 partition of counted for values with (modulus 2, remainder 1);"
        f"insert into counted select i from generate_series(1, {MANY}) as i; analyze counted"
    )
    apply(target, migration(COUNTED))
    assert times(target) == ONCE


@pytest.mark.parametrize(
    ("table", "statement", "words"),
    [
        ("create table t (id int)", "update t set id = 1", "public.t has no primary key"),
        ("create table t (id int primary key)", "update t set id = id + 1", "changes id of the primary key"),
        ("create view t as select 1 as id", "delete from t", "public.t is not a table"),
        ("select 1", "update t set id = 1", 'there is no table "t"'),
        (
            "create table t (id int primary key); create table child () inherits (t)",
            "delete from t",
            "tables that inherit from it",
        ),
        (
            "create table t (id int primary key); create rule r as on delete to t do instead nothing",
            "delete from t",
            "has rules",
        ),
        ("create table t (id int[] primary key)", "delete from t", r"cannot be told in texts: id is integer\[\]"),
        ("create table t (id jsonb primary key)", "delete from t", "cannot be told in texts: id is jsonb"),
    ],
)
def test_a_table_that_has_no_order_is_refused_before_a_row_is_touched(
    target: Target, table: str, statement: str, words: str
) -> None:
    target.run(table)
    journal = ListJournal()
    with pytest.raises(OpsError, match=words) as caught:
        apply(target, migration(f"{MARK}{statement}"), journal=journal)
    assert caught.value.reason is Reason.PLAN_BLOCKED
    assert "Nothing of this file remains" in caught.value.message
    assert journal.entries == []


def test_a_key_that_its_text_does_not_tell_ends_the_file_before_a_row_is_missed(target: Target) -> None:
    """Of a real with six digits, many are not what they say; so rows would have been met twice, or never."""
    (name,) = target.rows("select current_database()")[0]
    target.run(
        f"create table t (id real primary key, n int default 0); alter database {name} set extra_float_digits = 0;"
        f"insert into t select i / 3e3 from generate_series(1, {MANY}) as i"
    )
    with pytest.raises(OpsError, match="a value of id is not the same when it is read from its own text") as caught:
        apply(target, migration(f"{MARK}update t set n = n + 1"))
    assert caught.value.reason is Reason.PLAN_BLOCKED
    assert times(target, "t") == [(0, MANY)]


def test_only_the_parent_of_inherited_tables_may_be_meant(target: Target) -> None:
    target.run("create table t (id int primary key); create table child () inherits (t);")
    target.run("insert into t values (1); insert into child values (1)")
    apply(target, migration(f"{MARK}delete from only t"))
    assert target.rows("select tableoid::regclass::text from t") == [("child",)]
