"""An SQL error as people read it: the place in the file, and never the rows."""

import psycopg
import pytest
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.sql_errors import SqlError
from ops.sql_errors import describe
from ops.sql_errors import mask_detail

MAIL = "ana@acme.example"


@pytest.fixture(scope="module")
def target():
    with fresh_target(history=False) as fresh:
        fresh.run("CREATE TABLE people (email text UNIQUE CHECK (email <> 'no'), age int)")
        fresh.run(f"INSERT INTO people VALUES ('{MAIL}', 7)")
        yield fresh


def _error(target, text: str, index: int = 0) -> SqlError:
    """Run one statement of a file that fails, and describe it."""
    file = migration(text)
    with pytest.raises(psycopg.Error) as caught:
        target.run(file.statements[index].text)
    return describe(caught.value, file, index)


def test_the_caret_stands_under_the_place_in_the_file(target):
    found = _error(target, "select 1;\n-- é\n\n  select 2,\n\tnope from people;", 1)
    assert (found.line, found.column) == (5, 2)
    assert found.caret == "5 | \tnope from people\n  | \t^"
    assert (found.sqlstate, found.filename) == ("42703", "20260101000000_change.sql")
    assert str(found) == '20260101000000_change.sql, line 5: column "nope" does not exist (SQLSTATE 42703).'


def test_a_statement_in_the_middle_of_a_line_counts_columns_from_the_lines_start(target):
    found = _error(target, "select 1; select nope", 1)
    assert (found.line, found.column) == (1, 18)
    assert found.caret == "1 | select nope\n  |        ^"


def test_a_long_line_is_cut_around_the_place(target):
    found = _error(target, f"select {'1, ' * 300} nope, {'2, ' * 300} 3")
    lines = found.caret.split("\n")
    assert len(lines[0]) < 180
    assert lines[0][len(lines[1]) - 1 :].startswith("nope")


def test_the_servers_hint_is_kept(target):
    found = _error(target, "select emial from people")
    assert "people.email" in found.hint


@pytest.mark.parametrize(
    ("sql", "masked"),
    [
        (f"insert into people values ('{MAIL}')", "Key (email)=(«masked») already exists."),
        ("insert into people values ('no', 4711)", "Failing row contains («masked»)."),
    ],
    ids=["a key", "a row"],
)
def test_row_values_in_the_detail_are_masked(target, sql, masked):
    found = _error(target, sql)
    assert found.detail == masked


@pytest.mark.parametrize(
    "sql",
    [
        "insert into people select email from people",
        "select email::int from people",
        "do $$ begin perform email::int from people; end $$",
        "do $$ begin execute 'insert into people values (''" + MAIL + "'')'; end $$",
        "select (email || ' x')::date from people",
        "alter table people alter email type uuid using email::uuid",
    ],
)
def test_no_field_holds_a_value_of_a_row(target, sql):
    found = _error(target, sql)
    told = " ".join([str(found), found.detail, found.hint, found.context, found.message])
    assert MAIL not in told


def test_a_secret_of_the_file_is_masked_in_statement_and_caret(target):
    found = _error(target, "create role x password 'hunter2-very-secret' nope;")
    assert "hunter2" not in str(found.to_json())
    assert found.line == 1


def test_an_error_of_our_own_statement_has_no_place(target):
    with pytest.raises(psycopg.Error) as caught:
        target.run("select nope")
    found = describe(caught.value, migration("select 1"), None)
    assert (found.line, found.statement, found.caret) == (0, "", "")
    assert str(found).startswith("20260101000000_change.sql: column")


@pytest.mark.parametrize(
    ("detail", "masked"),
    [
        ("Key (a, b)=(1, (x)) already exists.", "Key (a, b)=(«masked») already exists."),
        (
            'Key (person)=(42) is not present in table "people".',
            'Key (person)=(«masked») is not present in table "people".',
        ),
        ("Failing row contains (1, ana, (2)).", "Failing row contains («masked»)."),
        ("Key (during)=([1,5)) conflicts with existing key (during)=([2,3)).", None),
    ],
)
def test_details(detail, masked):
    found = mask_detail(detail)
    assert found == masked if masked else not any(digit in found for digit in "1235")


@pytest.mark.parametrize(
    "sql",
    [
        "raise exception '%', repeat('x', 300000)",
        "raise exception 'short' using detail = repeat('x', 300000), hint = repeat('y', 300000)",
        "execute 'select nope /*' || repeat('z', 300000) || '*/'",
    ],
    ids=["message", "detail and hint", "context"],
)
def test_no_error_text_is_longer_than_people_read(target, sql):
    found = _error(target, f"do $$ begin {sql}; end $$")
    assert max(len(text) for text in (found.message, found.detail, found.hint, found.context, found.caret)) <= 2000
    assert found.message


@pytest.mark.parametrize(
    "sql",
    [
        "select (repeat('a', 5000) || email)::int from people",
        "select (email || repeat(' a', 5000))::int from people",
        "insert into people select email || repeat(') a', 5000) from people, generate_series(1, 2)",
        "do $$ begin raise exception 'x' using detail = (select email || repeat('x', 5000) from people); end $$",
        "do $$ begin execute (select 'select nope, ''' || repeat('a ', 900) || email ||"
        " repeat(' a', 5000) || '''' from people); end $$",
    ],
)
def test_a_value_that_is_cut_off_is_masked_all_the_same(target, sql):
    found = _error(target, sql)
    assert MAIL.partition("@")[0] not in " ".join([found.message, found.detail, found.hint, found.context])


def test_a_secret_on_the_edge_of_what_is_shown_is_not_shown_in_half(target):
    url = "postgres://app:hunter2secret@db.example/x"
    found = _error(target, f"do $$ begin raise exception '%', repeat('a ', 990) || '{url}'; end $$")
    assert "hunter" not in found.message
