"""With rows on the copy, a rehearsal tells what the plan does and none of the rows."""

import json

import pytest
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal

MAIL, CARD = "ana@acme.example", "4111222233334444"
SCHEMA = f"""
    CREATE TABLE people (email text, card bigint, note text DEFAULT 'was here');
    INSERT INTO people VALUES ('{MAIL}', {CARD});
    COMMENT ON TABLE people IS 'who they are';
"""


@pytest.fixture(scope="module")
def target():
    with fresh_target() as fresh:
        fresh.run(SCHEMA)
        yield fresh


def told(target, text: str) -> tuple[Rehearsal, str]:
    found = rehearse_files(lambda: target.url, [migration(text)], with_data=True)
    return found, json.dumps(found.to_json(), ensure_ascii=False) + found.diff_text


@pytest.mark.parametrize(
    "act",
    [
        "raise exception '%', row",
        "raise exception using errcode = '23505', message = row, hint = row, detail = row, constraint = row",
        "execute format('select %I', row)",
        "execute 'select ' || quote_literal(row) || '::int'",
        "execute format('alter table people add constraint %I check (email = 1)', row)",
        "perform set_config(row, 'x', false)",
    ],
)
def test_no_error_tells_rows(target, act):
    for column in ("email", "card"):
        found, text = told(
            target, f"do $$ declare row text; begin select {column} into row from people; {act}; end $$;"
        )
        assert found.outcome is Outcome.FAILED, found.because
        assert MAIL not in text
        assert CARD not in text
        assert found.files[0].error["sqlstate"] in found.because


def test_a_raised_error_says_that_it_is_one(target):
    found, _ = told(target, "do $$ begin raise exception 'why' using errcode = 'ZZ001'; end $$;")
    assert "An error was raised with SQLSTATE ZZ001" in found.because


def test_what_the_file_itself_says_stays(target):
    found, _ = told(target, "select 1;\nalter table people add column x nummeric;")
    assert 'type "nummeric" does not exist' in found.because


@pytest.mark.parametrize(
    "act",
    [
        "execute format('comment on table people is %L', row)",
        "execute format('comment on table people is %L', E'one\\ntwo ''' || row)",
        "execute format('alter table people alter note set default %L', row)",
        "execute format('create function f() returns text language sql as %L', 'select ''' || row || '''')",
        "execute format('create view v as select %L::text as t', row)",
        "execute format('create type kind as enum (%L)', row)",
        "execute format('create policy p on people using (email = %L)', row)",
        "execute format('create function f() returns text language plpgsql as %L',"
        " 'begin return ' || quote_literal(row) || '; end')",
    ],
)
def test_no_difference_of_the_schema_tells_rows(target, act):
    for column in ("email", "card"):
        found, text = told(
            target, f"do $$ declare row text; begin select {column} into row from people; {act}; end $$;"
        )
        assert found.outcome is Outcome.PASSED, found.because
        assert found.changes
        assert "«masked»" in text
        assert MAIL not in text
        assert CARD not in text


def test_a_number_in_the_schema_is_covered(target):
    found, text = told(
        target,
        "do $$ begin execute format('alter table people alter card set default %s', (select card from people)); end $$;",
    )
    assert CARD not in text
    assert [(one.change, one.name) for one in found.changes] == [("changed", "people")] or found.changes


def test_literals_of_the_files_and_of_the_schema_before_are_told(target):
    found, text = told(
        target,
        "comment on table people is 'they ''all'' are';\nalter table people add column kind text default 'plain';"
        "create function f() returns text language sql as $$ select 'a' || 12345 $$;",
    )
    assert found.outcome is Outcome.PASSED
    assert "«masked»" not in text
    assert "'plain'" in found.diff_text
    assert "was here" in found.diff_text


def test_a_materialized_view_that_fails_on_the_rows_tells_none(target):
    target.run("CREATE FUNCTION bad(t text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', t; END $$")
    target.run("CREATE MATERIALIZED VIEW broken AS SELECT bad(email) FROM people WITH NO DATA")
    found, text = told(target, "select 1;")
    assert found.outcome is Outcome.PASSED
    assert [one for one in found.unseen if "public.broken is empty on the copy: SQLSTATE P0001" in one]
    assert MAIL not in text
