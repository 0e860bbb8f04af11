"""A folder of migration files is read as the Supabase CLI reads it, and what cannot be run safely is refused."""

import hashlib
import time

import pytest
from pglast import ast

from ops.migrations import Migration
from ops.migrations import read_folder

NAME = "20260101000000_orders.sql"


def read(content: str | bytes) -> Migration:
    """One file, alone in its folder."""
    data = content if isinstance(content, bytes) else content.encode()
    (migration,) = read_folder({NAME: data}).migrations
    return migration


def texts(migration: Migration) -> list[str]:
    return [statement.text for statement in migration.statements]


def segments(migration: Migration) -> list[tuple[tuple[int, ...], bool]]:
    return [(segment.statements, segment.transactional) for segment in migration.segments]


def codes(migration: Migration) -> list[tuple[str, int]]:
    return [(refusal.code, refusal.line) for refusal in migration.refusals]


# --- which files count


def test_files_run_in_plain_string_order_of_their_version() -> None:
    names = ["999_a.sql", "3_a.sql", "003_a.sql", "10_a.sql", "20200101000000_a.sql", "1_b.sql"]
    folder = read_folder(dict.fromkeys(names, b"select 1"))
    assert [each.version for each in folder.migrations] == ["003", "1", "10", "20200101000000", "3", "999"]


def test_name_and_version_are_kept_as_written() -> None:
    (migration,) = read_folder({"007_add a.b .sql": b"select 1;"}).migrations
    assert (migration.version, migration.name, migration.filename) == ("007", "add a.b ", "007_add a.b .sql")
    assert hashlib.sha256(b"select 1;").hexdigest() == migration.sha256


@pytest.mark.parametrize(
    "name", ["README.md", "20260101_a.SQL", "2026.sql", "a_1.sql", "1-a.sql", "٣_a.sql", "1_a.sql.bak", "sub/1_a.sql"]
)
def test_a_file_of_another_name_is_skipped_with_a_reason(name: str) -> None:
    folder = read_folder({name: b"select 1", "1_a.sql": b"select 1"})
    assert [each.filename for each in folder.migrations] == ["1_a.sql"]
    assert [name] == [each.filename for each in folder.skipped]
    assert folder.skipped[0].why


def test_an_old_init_file_is_skipped_in_first_place_only() -> None:
    init = {"20210101000000_init.sql": b"select 1", "20220101000000_a.sql": b"select 1"}
    assert [each.version for each in read_folder(init).migrations] == ["20220101000000"]
    assert len(read_folder({"0_a.sql": b"select 1", **init}).migrations) == 3
    assert len(read_folder({"20211209000000_init.sql": b"select 1"}).migrations) == 1


def test_the_second_file_of_a_version_is_refused() -> None:
    first, second = read_folder({"1_b.sql": b"select 1", "1_a.sql": b"select 1"}).migrations
    assert (first.filename, first.refusals) == ("1_a.sql", ())
    assert [refusal.code for refusal in second.refusals] == ["same_version"]


# --- statements


def test_a_byte_order_mark_is_dropped_and_places_count_characters() -> None:
    migration = read("\ufeff-- é😀\nselect 'é😀';\n\n  create index concurrently i on t (é😀);")
    assert texts(migration) == ["-- é😀\nselect 'é😀'", "create index concurrently i on t (é😀)"]
    assert [(s.line, s.offset, s.stands_alone) for s in migration.statements] == [(1, 0, False), (4, 22, True)]
    assert [migration.text.count("\n", 0, s.tree.start) + 1 for s in migration.statements if s.tree] == [2, 4]


def test_a_statement_that_the_cli_cuts_in_two_is_kept_whole() -> None:
    rule = "create rule r as on insert to t do also (insert into u values (1); select 2)"
    migration = read(f"{rule};\nselect 3;")
    assert [rule, "select 3"] == texts(migration)
    assert "line 1 differently" in migration.notes[0]


def test_a_statement_cut_in_two_is_kept_whole_beside_one_that_nobody_reads() -> None:
    rule = "create rule r as on insert to t do also (insert into u values (1); select 2)"
    migration = read(f"frobnicate;\n{rule};\nselect 3;")
    assert ["frobnicate", rule, "select 3"] == texts(migration)
    assert migration.refusals == ()
    assert any("line 1 is not read" in note for note in migration.notes)


def test_statements_that_the_cli_keeps_together_run_apart() -> None:
    migration = read("select * from begin atomic; select 2; -- tail")
    assert texts(migration) == ["select * from begin atomic", "select 2", "-- tail"]
    assert migration.notes


def test_a_statement_of_an_unknown_grammar_is_noted_not_refused() -> None:
    migration = read("create table t (a int) with oids and 'hunter2';")
    assert migration.refusals == ()
    assert "line 1" in migration.notes[0]
    assert "hunter2" not in migration.notes[0]


def test_an_empty_file_holds_nothing() -> None:
    assert (read("").statements, read("").segments, read("").refusals) == ((), (), ())


def test_the_tree_of_a_statement_is_read_once_and_kept() -> None:
    (statement,) = read("drop table t").statements
    assert statement.tree is not None
    assert isinstance(statement.tree.node, ast.DropStmt)


# --- segments


@pytest.mark.parametrize(
    "statement",
    [
        "create /* now */ index\n concurrently i on t (a)",
        "create unique index concurrently if not exists i on t (a)",
        "drop index concurrently i",
        "reindex index -- later\n concurrently i",
        "reindex (concurrently) table t",
        "reindex schema s",
        "reindex database d",
        "reindex system d",
        "vacuum",
        "vacuum (full, analyze) t",
        "create database d",
        "drop database d",
        "create tablespace s location '/x'",
        "drop tablespace s",
        "alter database d set tablespace s",
        "alter system set work_mem = '1MB'",
        "alter table t detach partition p concurrently",
        "cluster",
        "create subscription s connection 'x' publication p",
        "alter subscription s refresh publication",
        "alter subscription s set publication p",
        "drop subscription s",
        "discard all",
    ],
)
def test_what_cannot_be_in_a_transaction_stands_alone(statement: str) -> None:
    migration = read(f"select 1; {statement}; select 2; select 3")
    assert [each.stands_alone for each in migration.statements] == [False, True, False, False]
    assert segments(migration) == [((0,), True), ((1,), False), ((2, 3), True)]


@pytest.mark.parametrize(
    "statement",
    [
        "create index concurrently_i on t (a)",
        "analyze t",
        "reindex table t",
        "cluster t",
        "alter table t detach partition p",
        "alter subscription s set publication p with (refresh = false)",
        "create subscription s connection 'x' publication p with (create_slot = off)",
        "alter type t add value 'x'",
        "comment on table t is 'create index concurrently'",
        "discard temp",
    ],
)
def test_what_may_be_in_a_transaction_stays_in_it(statement: str) -> None:
    assert segments(read(f"select 1; {statement}")) == [((0, 1), True)]


def test_a_trailing_comment_belongs_to_the_last_segment() -> None:
    assert segments(read("select 1; vacuum; -- done")) == [((0,), True), ((1, 2), False)]


def test_a_leading_comment_belongs_to_the_first_segment() -> None:
    assert segments(read("-- hello\n; vacuum")) == [((0, 1), False)]


def test_blocks_are_transactions_and_the_rest_stands_alone() -> None:
    migration = read("select 1; begin; select 2; end; select 3; start transaction; select 4; commit; -- done")
    assert segments(migration) == [((0,), False), ((1, 2, 3), True), ((4,), False), ((5, 6, 7, 8), True)]
    assert migration.refusals == ()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_first_line_can_ask_for_every_statement_alone(ending: str) -> None:
    migration = read(f"-- pg-delta: transaction=false{ending}select 1; select 2")
    assert segments(migration) == [((0,), False), ((1,), False)]


@pytest.mark.parametrize("first", ["-- pg-delta: transaction=false ", "--pg-delta: transaction=false", "\n"])
def test_a_first_line_that_is_not_exact_asks_for_nothing(first: str) -> None:
    assert segments(read(f"{first}\nselect 1; select 2")) == [((0, 1), True)]


def test_savepoints_stay_inside() -> None:
    migration = read("savepoint a; rollback to a; release a")
    assert (segments(migration), migration.refusals) == ([((0, 1, 2), True)], ())


# --- refusals


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("select 1;\nbegin;\nselect 2;", [("begin_without_commit", 2)]),
        ("select 1;\ncommit;", [("commit_without_begin", 2)]),
        ("begin; select 1;\nrollback;", [("rollback", 2)]),
        ("begin; select 1;\nabort; select 2", [("rollback", 2)]),
        ("begin; prepare transaction 'x';", [("prepare_transaction", 1)]),
        ("commit prepared 'x';", [("prepare_transaction", 1)]),
        ("begin;\nbegin;\ncommit;", [("begin_again", 2)]),
        ("begin isolation level serializable; commit;", [("transaction_options", 1)]),
        ("begin; commit and chain;", [("transaction_options", 1)]),
        ("begin;\nvacuum;\ncommit;", [("not_in_block", 2)]),
        ("copy t from stdin;\n1\t\\N\n\\.\n", [("copy_stdin", 1)]),
        ("copy t to stdout;", [("copy_stdout", 1)]),
        ("select 1;\n\\restrict abc\nselect 2;", [("psql_line", 2)]),
        ("select 1 \\gexec", [("psql_line", 1)]),
        ("select 1;\nselect 'cut", [("cut_off", 2)]),
        ("create table t (a int", [("cut_off", 1)]),
        ("create function f() returns int as $$ select 1;", [("cut_off", 1)]),
        ("do $$ begin\n  insert into t values (1);\n  commit;\nend $$;", [("commit_in_do", 3)]),
        ("do $$ begin if true then rollback; end if; end $$;", [("commit_in_do", 1)]),
        (b"select 1;\nselect '\xe9';", [("not_utf8", 2)]),
        (b"select 1;\n\n\0", [("nul_byte", 3)]),
        ("select 1".encode("utf-16"), [("utf16", 1)]),
        ("select 1;\nselect " + "1+" * 40_000 + "1;", [("too_deep", 2)]),
    ],
    ids=lambda value: value[0][0] if isinstance(value, list) else "file",
)
def test_a_file_that_cannot_be_run_safely_is_refused(content: str | bytes, expected: list[tuple[str, int]]) -> None:
    migration = read(content)
    assert expected == codes(migration)
    assert all(refusal.message.endswith(".") and refusal.hint for refusal in migration.refusals)


@pytest.mark.parametrize(
    "content",
    [
        "select '\\set x 1', $$\n\\i x\n$$; -- \\connect\n/* \\restrict */",
        "do $$ begin raise notice 'commit;'; -- commit;\n end $$;",
        "do $$ declare commit_count int; begin commit_count := 1; end $$;",
        "create procedure p() language plpgsql as $$ begin commit; end $$;",
        "copy t to '/tmp/x'",
        "select 1 as begin; select 2 as commit;",
    ],
)
def test_what_only_looks_like_it_is_not_refused(content: str) -> None:
    assert read(content).refusals == ()


def test_calling_a_procedure_that_commits_is_refused_in_a_later_file_too() -> None:
    made = b"create procedure tidy() language plpgsql as $$ begin delete from t; commit; end $$;"
    _, caller, after = read_folder(
        {
            "1_a.sql": made,
            "2_b.sql": b"select 1;\ncall app.tidy();",
            "3_c.sql": b"create or replace procedure tidy() language sql as 'select 1'; call tidy();",
        }
    ).migrations
    assert codes(caller) == [("call_commits", 2)]
    assert after.refusals == ()


def test_a_refused_file_still_has_its_text() -> None:
    assert read(b"select '\xe9'").text == "select '\ufffd'"


# --- speed


@pytest.mark.parametrize("word", ["hello", "wörld"])
def test_a_megabyte_of_inserts_is_read_in_time(word: str) -> None:
    """pglast alone needs minutes for such a file with letters beyond ASCII."""
    started = time.perf_counter()
    migration = read(f"insert into t (a, b) values (1, '{word}; x', now()); -- x\n" * 16_000)
    assert sum(not each.is_comment for each in migration.statements) == 16_000
    assert time.perf_counter() - started < 20


def test_one_long_statement_with_letters_beyond_ascii_is_read_in_time() -> None:
    started = time.perf_counter()
    migration = read("insert into t (a, b) values " + "(1, 'wörld')," * 16_000 + "(1, 'é')")
    assert (len(migration.statements), migration.notes) == (1, ())
    assert time.perf_counter() - started < 20
