"""The CLI's history table: whatever its age, read as it is, made as the CLI makes it, compared without guessing."""

import time
from contextlib import closing

import psycopg
import pytest
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryRow
from ops.history import compare
from ops.history import ensure_history
from ops.history import history_sha256
from ops.history import read_history
from ops.history import statements_sha256
from ops.migrations import read_folder


@pytest.fixture
def target():
    with fresh_target(history=False) as fresh:
        yield fresh


COLUMNS = (
    "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = 'supabase_migrations' ORDER BY ordinal_position"
)


def _row(file, **changes) -> HistoryRow:
    texts = tuple(statement.text for statement in file.statements)
    known = {"name": file.name, "sha256": statements_sha256(texts), "stored": len(texts)}
    return HistoryRow(file.version, **(known | changes))


def _stored(file, *texts: str) -> HistoryRow:
    """The row of a file with other statements in it, fetched as `read_history` does."""
    return _row(file, sha256=statements_sha256(texts), stored=len(texts), statements=texts)


# --- reading and making --------------------------------------------------------------------------------------------


def test_without_a_table_the_history_is_empty_and_hashes_like_an_empty_one(target):
    before = read_history(target.connection)
    assert before == ()
    ensure_history(target.connection)
    assert history_sha256(before) == history_sha256(read_history(target.connection))


def test_the_table_is_made_as_the_cli_makes_it_and_once(target):
    assert ensure_history(target.connection) is True
    assert target.rows(COLUMNS) == [("version", "text", "NO"), ("statements", "ARRAY", "YES"), ("name", "text", "YES")]
    assert ensure_history(target.connection) is False


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("version text PRIMARY KEY", HistoryRow("1", None, None, None)),
        ("version text PRIMARY KEY, statements text[]", HistoryRow("1", None, None, None)),
        (
            "version text PRIMARY KEY, statements text[], name text, created_by text, idempotency_key text UNIQUE,"
            " rollback text[]",
            HistoryRow("1", None, None, None),
        ),
    ],
    ids=["one column", "two columns", "six columns"],
)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_table_of_any_age_is_read_and_made_whole(target, columns, row, in_transaction):
    target.run(f"CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations ({columns})")
    target.run("INSERT INTO supabase_migrations.schema_migrations (version) VALUES ('1')")
    if in_transaction:
        with target.connection.transaction():
            assert read_history(target.connection) == (row,)
            assert target.rows("SELECT 1") == [(1,)]
    assert read_history(target.connection) == (row,)
    assert ensure_history(target.connection) is ("name" not in columns)
    apply(target, migration("select 1", "2_b.sql"))
    assert [row.version for row in read_history(target.connection)] == ["1", "2"]


def test_a_table_of_somebody_else_is_not_taken_for_the_history(target):
    target.run("CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (id int)")
    with pytest.raises(OpsError) as caught:
        read_history(target.connection)
    assert caught.value.reason is Reason.TARGET_REFUSED


def test_making_the_table_gives_up_when_it_is_locked(target):
    target.run("CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text)")
    with closing(psycopg.connect(target.url)) as other:
        other.execute("LOCK TABLE supabase_migrations.schema_migrations")
        began = time.monotonic()
        with pytest.raises(OpsError) as caught:
            ensure_history(target.connection)
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["select 1", "-- c"],
        ['"\\/\b\f\n\r\t', "\x01\x1f\x7f\x80\u2028\ufeff", "é漢🦆", "%s %% \\u0041"],
    ],
    ids=["none", "plain", "odd"],
)
def test_server_and_we_hash_statements_alike(target, texts):
    ensure_history(target.connection)
    target.connection.execute(
        "INSERT INTO supabase_migrations.schema_migrations VALUES ('1', %s::text[], 'n')", (texts,)
    )
    assert read_history(target.connection) == (HistoryRow("1", "n", statements_sha256(texts), len(texts)),)


def test_versions_are_in_string_order_whatever_the_collation(target):
    ensure_history(target.connection)
    target.run("INSERT INTO supabase_migrations.schema_migrations VALUES ('3'), ('20200101000000'), ('003'), ('10')")
    assert [row.version for row in read_history(target.connection)] == ["003", "10", "20200101000000", "3"]


def test_ten_thousand_rows_are_read_fast_and_only_differing_statements_are_fetched(target):
    ensure_history(target.connection)
    target.run(
        "INSERT INTO supabase_migrations.schema_migrations "
        "SELECT (20200101000000 + i)::text, ARRAY['select ' || i, repeat('-- long ', 200)], 'n' "
        "FROM generate_series(1, 10000) AS i"
    )
    texts = {f"2020010100{i:04d}_n.sql": f"select {i};{'-- long ' * 200}".encode() for i in range(1, 10000)}
    texts["20200101000007_n.sql"] = b"select 7000"
    files = read_folder(texts).migrations
    began = time.monotonic()
    rows = read_history(target.connection, files)
    comparison = compare(rows, files)
    assert time.monotonic() - began < 15
    # Of the rest the server said only a hash; their trailing blank is not in the file's cut, so that they differ too.
    assert rows[6].statements is not None
    assert comparison.applied == len(files)
    assert "edited" in {problem.code for problem in comparison.problems}


def test_only_rows_that_differ_carry_statements(target):
    ensure_history(target.connection)
    one, two = migration("select 1", "1_a.sql"), migration("select 2", "2_b.sql")
    apply(target, one)
    apply(target, two)
    changed = migration("select 22", "2_b.sql")
    rows = read_history(target.connection, [one, changed])
    assert [row.statements for row in rows] == [None, ("select 2",)]


# --- comparing -----------------------------------------------------------------------------------------------------

A = migration("create table a (i int);\nselect 1;", "20260101000000_a.sql")
B = migration("create table b (i int)", "20260102000000_b.sql")
C = migration("create table c (i int)", "20260103000000_c.sql")


def _codes(rows, files) -> list[tuple[str, str, bool]]:
    return [(one.code, one.version, one.blocks) for one in compare(rows, files).problems]


def test_what_is_not_in_the_history_is_pending_in_order():
    comparison = compare([_row(A)], [A, B, C])
    assert (comparison.pending, comparison.problems, comparison.applied) == ((B, C), (), 1)


def test_nothing_pending():
    assert compare([_row(A), _row(B)], [A, B]).pending == ()


def test_a_version_without_a_file_blocks_and_says_the_repair():
    problems = compare([_row(A), _row(B)], [A]).problems
    assert [(one.code, one.version, one.blocks) for one in problems] == [("remote_only", B.version, True)]
    assert "(b)" in problems[0].message
    assert "supabase migration repair --status reverted 20260102000000" in problems[0].repair


def test_a_file_before_the_last_applied_one_blocks_and_says_the_repair():
    comparison = compare([_row(B)], [A, B, C])
    assert [(one.code, one.version, one.blocks) for one in comparison.problems] == [("out_of_order", A.version, True)]
    assert comparison.pending == (A, C)
    assert "after 20260102000000" in comparison.problems[0].repair
    assert "supabase migration repair --status applied 20260101000000" in comparison.problems[0].repair


def test_order_is_that_of_strings_as_for_the_cli():
    short = migration("select 1", "3_x.sql")
    assert _codes([_row(short)], [A, short]) == [("out_of_order", A.version, True)]


EDITED = ("edited", A.version, True)
UNKNOWN = ("unknown", A.version, False)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (_row(A), []),
        (_stored(A, "create table a (i int)", "select 2"), [EDITED]),
        (_stored(A, "create table a (i int)"), [EDITED]),
        (_stored(A), [EDITED]),
        (_row(A, sha256=None, stored=None), [UNKNOWN]),
        (_stored(A, "create table a (i int);\nselect 1;\n"), []),
        (_stored(A, "create table a (i int); select 2;"), [UNKNOWN]),
        (_row(A, sha256="0" * 64, stored=1), [UNKNOWN]),
        (_row(A, sha256="0" * 64, stored=2), [EDITED]),
    ],
    ids=[
        "the same",
        "another statement",
        "one statement then, two now",
        "none stored",
        "null",
        "the whole file as one text",
        "another script as one text",
        "one text, not fetched",
        "not fetched",
    ],
)
def test_what_the_stored_statements_say_about_the_file(row, found):
    assert _codes([row], [A]) == found


def test_a_file_of_one_statement_that_changed_is_edited():
    assert _codes([_stored(B, "create table b (i bigint)")], [B]) == [("edited", B.version, True)]


def test_two_files_with_one_version_block():
    twin = migration("select 1", "20260101000000_twin.sql")
    assert _codes([], [A, twin]) == [("duplicate_version", A.version, True)]


def test_a_version_over_64_bits_is_told_but_does_not_block():
    fits, over = migration("select 1", "9223372036854775807_a.sql"), migration("select 1", "9223372036854775808_b.sql")
    assert _codes([], [fits, over]) == [("version_too_big", over.version, False)]


def test_problems_that_block_come_first():
    codes = [one[0] for one in _codes([_row(A, sha256=None, stored=None), _row(C)], [A, B])]
    assert codes == ["remote_only", "out_of_order", "unknown"]
