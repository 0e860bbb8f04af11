"""What people read of objects that change: never the words of an archive."""

from collections.abc import Callable
from collections.abc import Iterator
from itertools import pairwise

import pytest
from schema_pairs import CHANGES
from schema_pairs import change
from schema_pairs import make_databases
from schema_pairs import run

from ops.rehearsal.report import ChangedObject
from ops.schema.comparing import SchemaDiff
from ops.schema.comparing import compare
from ops.schema.deriving import derive
from ops.schema.model import Key
from ops.schema.model import Schema
from ops.schema.naming import words_of
from ops.schema.reading import read_schema
from sandbox.postgres import LocalPostgres

Change = Callable[[str], SchemaDiff]

GROUPED = """
SET ROLE postgres;
CREATE TABLE bought (id int PRIMARY KEY, note text);
CREATE VIEW grouped AS SELECT id, note, count(*) FROM bought GROUP BY id;
CREATE VIEW upon AS SELECT note FROM grouped;
CREATE FUNCTION rows_of() RETURNS SETOF grouped LANGUAGE sql AS 'SELECT * FROM app.grouped';
GRANT SELECT ON grouped TO anon; COMMENT ON VIEW grouped IS 'by id';
"""
"""Views that pg_dump makes in two steps: the query needs the primary key, which comes behind all tables and views."""


@pytest.fixture
def changed(local_postgres: LocalPostgres) -> Iterator[Change]:
    """Compare a fresh database before and after some statements of the superuser."""
    with make_databases(local_postgres, 1) as (url,):

        def compared(text: str) -> SchemaDiff:
            before = read_schema(url)
            run(local_postgres, url, text)
            return compare(before, read_schema(url))

        yield compared


@pytest.mark.parametrize(
    ("kind", "schema", "name", "words"),
    [
        ("table", "public", "orders", "table public.orders"),
        ("schema", "", "extra", "schema extra"),
        ("acl", "public", "table only_dev", "privileges of table public.only_dev"),
        ("acl", "", "schema app", "privileges of schema app"),
        ("comment", "public", "column orders.currency", "comment on column public.orders.currency"),
        ("comment", "public", "policy read ON orders", "comment on policy read on public.orders"),
        ("comment", "", "extension citext", "comment on extension citext"),
        ("default", "app", "price on orders", "default of app.orders.price"),
        ("default acl", "app", "tables of postgres", "default privileges for tables of postgres in schema app"),
        ("default acl", "", "tables of postgres", "default privileges for tables of postgres"),
        ("policy", "public", "Alle on Leute on orders", "policy Alle on Leute on public.orders"),
        ("fk constraint", "public", "lines_fk on lines", "foreign key lines_fk on public.lines"),
        ("row security", "public", "orders", "row level security of public.orders"),
        ("function", "public", "total(a integer)", "function public.total(a integer)"),
        ("publication table", "public", "changes orders", "published table public.orders of changes"),
        ("publication tables in schema", "", "changes app", "published schema app of changes"),
        ("membership", "", "reader to authenticator", "membership of authenticator in reader"),
        ("role setting", "", "anon: statement_timeout", "setting of role anon: statement_timeout"),
        ("database setting", "", "search_path", "database setting search_path"),
        ("extension version", "", "citext", "version of extension citext"),
    ],
)
def test_an_object_is_called_as_people_call_it(kind: str, schema: str, name: str, words: str) -> None:
    assert words_of(ChangedObject("changed", kind, schema, name, "")) == words


def test_no_word_of_an_archive_is_in_the_heads_of_the_diff(local_postgres: LocalPostgres) -> None:
    with make_databases(local_postgres, 2) as (left, right):
        change(local_postgres, right)
        diff = compare(read_schema(left), read_schema(right))
    lines = diff.text.splitlines()
    pairs = [pair for pair in pairwise(lines) if pair[0].startswith("--- ") and pair[1].startswith("+++ ")]
    heads = {line[4:] for pair in pairs for line in pair} - {"/dev/null"}
    assert heads == {words_of(one) for one in diff.changes}
    assert {"comment on column app.orders.price", "privileges of table app.orders"} <= heads
    assert "default privileges for tables of postgres in schema app" in heads
    assert not [head for head in heads if head.startswith(("acl ", "default acl ", "row security ", "comment app"))]
    assert len(diff.changes) >= len(CHANGES)


def test_a_view_that_is_dumped_in_two_steps_is_one_view(changed: Change) -> None:
    assert [(one.kind, one.name) for one in changed(GROUPED).changes if one.change == "created"] == [
        ("table", "bought"),
        ("constraint", "bought_pkey on bought"),
        ("view", "grouped"),
        ("comment", "view grouped"),
        ("view", "upon"),
        ("function", "rows_of()"),
    ]
    diff = changed("CREATE OR REPLACE VIEW grouped AS SELECT id, note, sum(id) AS count FROM bought GROUP BY id")
    assert [(one.kind, one.name, one.words) for one in diff.changes] == [("view", "grouped", "its query changes")]
    assert "_RETURN" not in diff.text
    assert "-    count(*) AS count" in diff.text


def test_what_needs_such_a_view_is_made_behind_it(local_postgres: LocalPostgres) -> None:
    with make_databases(local_postgres, 1) as (url,):
        run(local_postgres, url, GROUPED)
        schema = read_schema(url)
    places = {key: entry.place for key, entry in schema.entries.items()}
    view = places[Key("view", "app", "grouped")]
    assert places[Key("constraint", "app", "bought bought_pkey")] < view
    behind = [("view", "upon"), ("function", "rows_of()"), ("comment", "VIEW grouped"), ("acl", "TABLE grouped")]
    assert all(view < places[Key(kind, "app", name)] for kind, name in behind)
    assert not [key for key in places if "_RETURN" in key.name]


def test_a_view_in_two_steps_is_derived_as_one(local_postgres: LocalPostgres) -> None:
    with make_databases(local_postgres, 2) as (left, right):
        run(local_postgres, right, GROUPED)
        assert derived_and_run(local_postgres, left, right).changes == ()
        run(
            local_postgres,
            right,
            "CREATE OR REPLACE VIEW grouped AS SELECT id, note, 2::bigint AS count FROM bought GROUP BY id",
        )
        assert derived_and_run(local_postgres, left, right).changes == ()
        run(local_postgres, right, "DROP TABLE bought CASCADE")
        assert derived_and_run(local_postgres, left, right).changes == ()


def derived_and_run(server: LocalPostgres, left: str, right: str) -> SchemaDiff:
    """What is left when the statements that make the left database like the right one have run."""
    derived = derive(read_schema(left), wanted := read_schema(right))
    assert derived
    assert not [one.reason for one in derived if one.reason]
    for statement in (statement for one in derived for statement in one.statements):
        run(server, left, f"SET search_path = ''; SET check_function_bodies = off; {statement}")
    return compare(read_schema(left), wanted)


def test_privileges_of_what_is_dropped_are_not_told(changed: Change) -> None:
    changed("SET ROLE postgres; GRANT SELECT (id) ON gone TO anon; GRANT ALL ON gone TO service_role")
    assert [(one.kind, one.name) for one in changed("DROP TABLE gone").changes] == [("table", "gone")]
    assert [(one.kind, one.words) for one in changed("REVOKE SELECT ON orders FROM anon").changes] == [
        ("acl", "anon may no longer SELECT")
    ]


def test_a_publication_comes_and_goes_with_its_tables(local_postgres: LocalPostgres) -> None:
    with make_databases(local_postgres, 2) as (left, right):
        run(local_postgres, right, "SET ROLE postgres; CREATE PUBLICATION by_hand FOR TABLE customers, orders")
        before, after = read_schema(left), read_schema(right)
        told = [words_of(one) for one in compare(before, after).changes]
        assert derived_and_run(local_postgres, left, right).changes == ()
        run(local_postgres, right, "DROP PUBLICATION by_hand")
        assert derived_and_run(local_postgres, left, right).changes == ()
        assert not publications(read_schema(left), "by_hand")
    assert told == [
        "publication by_hand",
        "published table app.customers of by_hand",
        "published table app.orders of by_hand",
    ]


def publications(schema: Schema, name: str) -> list[Key]:
    return [key for key in schema.entries if key.kind.startswith("publication") and key.name.startswith(name)]
