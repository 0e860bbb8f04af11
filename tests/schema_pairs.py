"""A schema, and changes to it of every kind that a dump can hold, each with what a comparison has to say of it."""

from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psycopg

from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres

_names = count(1)


@dataclass(frozen=True)
class Change:
    """A change, and (change, kind, name, words) of each object that differs then."""

    sql: str
    told: tuple[tuple[str, str, str, str], ...]
    since: int = 15


BEFORE = """
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO anon;
SET search_path = app, public;
SET check_function_bodies = off;
CREATE TYPE status AS ENUM ('new', 'open');
CREATE TYPE address AS (street text, town text);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE COLLATION german (provider = libc, locale = 'C');
CREATE TABLE customers (id bigint PRIMARY KEY, email text, name text, town varchar(80), vip boolean DEFAULT false);
CREATE TABLE orders (
  id integer NOT NULL, customer bigint, state status DEFAULT 'new', price numeric(10,2), note text,
  placed timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE loose (id integer);
CREATE TABLE sized (id integer) WITH (fillfactor = 70);
CREATE TABLE counted (id integer, kind text);
CREATE TABLE forced (id integer);
CREATE TABLE old_name (id integer);
CREATE TABLE gone (id integer, note text);
CREATE TABLE numbered (id integer NOT NULL);
CREATE TABLE owned (id integer);
CREATE TABLE reordered (a integer, b text);
CREATE TABLE parted (day date NOT NULL, amount integer) PARTITION BY RANGE (day);
CREATE TABLE parted_2025 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE SEQUENCE tickets;
CREATE INDEX orders_customer ON orders (customer);
CREATE FUNCTION total(a integer) RETURNS integer LANGUAGE sql AS $$ SELECT a $$;
CREATE FUNCTION secret() RETURNS text LANGUAGE sql AS $$ SELECT 'x'::text $$;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE TRIGGER stamped BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE VIEW cheap AS SELECT id, kind FROM counted WHERE id < 10;
CREATE VIEW names AS SELECT id, name FROM customers;
CREATE MATERIALIZED VIEW sums AS SELECT customer, count(*) AS many FROM orders GROUP BY customer;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON customers FOR SELECT TO authenticated USING (id = 1);
CREATE POLICY all_in ON customers TO anon USING (false);
GRANT SELECT ON orders TO anon, authenticated;
GRANT SELECT, INSERT ON customers TO authenticated;
COMMENT ON TABLE orders IS 'What was bought';
CREATE PUBLICATION changes FOR TABLE orders;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA app GRANT SELECT ON TABLES TO authenticated;
CREATE STATISTICS both_columns ON id, kind FROM counted;
"""


def _one(change: str, kind: str, name: str, words: str) -> tuple[tuple[str, str, str, str], ...]:
    return ((change, kind, name, words),)


CHANGES = (
    Change("ALTER TYPE status ADD VALUE 'closed'", _one("changed", "type", "status", "adds value 'closed'")),
    Change("ALTER TYPE address ADD ATTRIBUTE zip text", _one("changed", "type", "address", "adds value zip text")),
    Change(
        "CREATE OR REPLACE FUNCTION total(a integer) RETURNS integer LANGUAGE sql AS $$ SELECT a + 1 $$",
        _one("changed", "function", "total(integer)", "its body changes"),
    ),
    Change(
        "CREATE FUNCTION total(a integer, b integer) RETURNS integer LANGUAGE sql AS $$ SELECT a + b $$",
        _one("created", "function", "total(integer, integer)", "returns integer, language sql"),
    ),
    Change(
        "ALTER FUNCTION secret() SECURITY DEFINER STABLE SET search_path = ''",
        _one(
            "changed",
            "function",
            "secret()",
            "becomes security definer; settings: none becomes search_path TO ''; volatile becomes stable",
        ),
    ),
    Change("ALTER TABLE sized SET (fillfactor = 80)", _one("changed", "table", "sized", "fillfactor: 70 becomes 80")),
    Change("ALTER SEQUENCE tickets INCREMENT BY 5", _one("changed", "sequence", "tickets", "increment: 1 becomes 5")),
    Change(
        "ALTER TABLE old_name RENAME TO new_name",
        (("dropped", "table", "old_name", ""), ("created", "table", "new_name", "columns id integer")),
    ),
    Change("DROP TABLE gone", _one("dropped", "table", "gone", "")),
    Change(
        "CREATE TABLE parted_2026 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        (
            ("created", "table", "parted_2026", "columns day date not null, amount integer"),
            ("created", "table attach", "parted_2026", ""),
            ("changed", "acl", "table parted_2026", "authenticated may now SELECT"),
        ),
    ),
    Change(
        "ALTER TABLE numbered ALTER id ADD GENERATED BY DEFAULT AS IDENTITY",
        _one("created", "sequence", "numbered_id_seq", ""),
    ),
    Change(
        "ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES customers",
        _one(
            "created",
            "fk constraint",
            "orders_customer_fkey on orders",
            "FOREIGN KEY (customer) REFERENCES app.customers(id)",
        ),
    ),
    Change(
        "ALTER TABLE orders ADD CONSTRAINT paid CHECK (price > 0) NOT VALID",
        _one("created", "check constraint", "paid on orders", "CHECK ((price > (0)::numeric)) NOT VALID"),
    ),
    Change(
        "ALTER TABLE customers ADD CONSTRAINT one_email UNIQUE (email)",
        _one("created", "constraint", "one_email on customers", "UNIQUE (email)"),
    ),
    Change(
        "CREATE INDEX orders_open ON orders (placed) WHERE note IS NULL",
        _one("created", "index", "orders_open", "btree (placed) where (note IS NULL)"),
    ),
    Change(
        "DROP INDEX orders_customer; CREATE UNIQUE INDEX orders_customer ON orders (customer, id)",
        _one("changed", "index", "orders_customer", "on btree (customer) becomes btree (customer, id); becomes unique"),
    ),
    Change(
        "ALTER VIEW cheap SET (security_invoker = true)",
        _one("changed", "view", "cheap", "sets security_invoker to true"),
    ),
    Change(
        "CREATE OR REPLACE VIEW names AS SELECT id, name, email FROM customers",
        _one("changed", "view", "names", "its query changes"),
    ),
    Change(
        "DROP MATERIALIZED VIEW sums; CREATE MATERIALIZED VIEW sums AS SELECT customer FROM orders",
        (
            ("changed", "materialized view", "sums", "its query changes"),
            ("changed", "acl", "table sums", "authenticated may now SELECT"),
        ),
    ),
    Change(
        "ALTER TABLE orders DISABLE TRIGGER stamped",
        _one("changed", "trigger", "stamped on orders", "enabled becomes disabled"),
    ),
    Change(
        "ALTER POLICY mine ON customers USING (id = 2)",
        _one("changed", "policy", "mine on customers", "using ((id = 1)) becomes ((id = 2))"),
    ),
    Change(
        "CREATE POLICY adding ON customers AS RESTRICTIVE FOR INSERT WITH CHECK (id > 0)",
        _one("created", "policy", "adding on customers", "for INSERT to PUBLIC, restrictive, with CHECK ((id > 0))"),
    ),
    Change("DROP POLICY all_in ON customers", _one("dropped", "policy", "all_in on customers", "")),
    Change(
        "ALTER TABLE forced FORCE ROW LEVEL SECURITY",
        _one("changed", "table", "forced", "row level security binds the owner too"),
    ),
    Change(
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        _one("changed", "row security", "orders", "row level security is switched on"),
    ),
    Change(
        "GRANT SELECT (id, email), UPDATE (email) ON customers TO anon",
        (
            ("changed", "acl", "column customers.email", "anon may now SELECT(email), UPDATE(email)"),
            ("changed", "acl", "column customers.id", "anon may now SELECT(id)"),
        ),
    ),
    Change(
        "REVOKE SELECT ON orders FROM anon; GRANT INSERT ON orders TO authenticated",
        _one("changed", "acl", "table orders", "authenticated may now INSERT; anon may no longer SELECT"),
    ),
    Change(
        "REVOKE EXECUTE ON FUNCTION secret() FROM PUBLIC",
        _one("changed", "acl", "function secret()", "everybody may no longer EXECUTE"),
    ),
    Change(
        "COMMENT ON COLUMN orders.price IS 'in euros'",
        _one("created", "comment", "column orders.price", "'in euros'"),
    ),
    Change(
        "COMMENT ON TABLE orders IS 'What is bought'",
        _one("changed", "comment", "table orders", "'What was bought' becomes 'What is bought'"),
    ),
    Change(
        "ALTER PUBLICATION changes ADD TABLE customers",
        _one("created", "publication table", "changes customers", ""),
    ),
    Change(
        "ALTER TABLE counted ALTER kind SET STATISTICS 300",
        _one("changed", "table", "counted", "now: ALTER COLUMN kind SET STATISTICS 300"),
    ),
    Change("DROP STATISTICS both_columns", _one("dropped", "statistics", "both_columns", "")),
    Change(
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA app GRANT INSERT ON TABLES TO anon",
        _one("changed", "default acl", "tables of postgres", "new tables: anon may now INSERT"),
    ),
    Change(
        "ALTER TABLE owned OWNER TO supabase_auth_admin",
        _one("changed", "table", "owned", "owner: postgres becomes supabase_auth_admin"),
    ),
    Change(
        "ALTER DOMAIN positive SET NOT NULL",
        _one(
            "changed",
            "domain",
            "positive",
            "AS integer CONSTRAINT positive_check CHECK ((VALUE > 0))"
            " becomes AS integer NOT NULL CONSTRAINT positive_check CHECK ((VALUE > 0))",
        ),
    ),
    Change(
        "CREATE AGGREGATE biggest(integer) (SFUNC = int4larger, STYPE = integer)",
        _one("created", "aggregate", "biggest(integer)", ""),
    ),
    Change(
        "CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)",
        _one("created", "operator", "===", ""),
    ),
    Change("CREATE COLLATION danish (provider = libc, locale = 'C')", _one("created", "collation", "danish", "")),
    Change("CREATE RULE kept AS ON DELETE TO loose DO INSTEAD NOTHING", _one("created", "rule", "kept on loose", "")),
    Change(
        "CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION watch()",
        _one("created", "event trigger", "watching", ""),
    ),
    Change(
        "CREATE PROCEDURE tidy() LANGUAGE sql AS $$ SELECT 1 $$",
        _one("created", "procedure", "tidy()", "language sql"),
    ),
    Change(
        """
        ALTER TABLE customers ADD phone text NOT NULL DEFAULT '', DROP vip, ALTER town TYPE text,
          ALTER email SET NOT NULL
        """,
        _one(
            "changed",
            "table",
            "customers",
            "column email must not be null; column town: character varying(80) becomes text;"
            " adds column phone text not null default ''::text; drops column vip",
        ),
    ),
    Change(
        "ALTER TABLE orders ALTER state SET DEFAULT 'open', ALTER price TYPE numeric(12,2), ALTER placed DROP NOT NULL",
        _one(
            "changed",
            "table",
            "orders",
            "default of state: 'new'::app.status becomes 'open'::app.status;"
            " column price: numeric(10,2) becomes numeric(12,2); column placed may be null",
        ),
    ),
    Change("CREATE SCHEMA extra", _one("created", "schema", "extra", "")),
)

REORDERED = """
DROP TABLE reordered;
CREATE TABLE reordered (b text, a integer);
"""


def told_by(changes: Iterable[Change]) -> list[tuple[str, str, str, str]]:
    return [one for change in changes for one in change.told]


@contextmanager
def make_databases(server: LocalPostgres, number: int) -> Iterator[list[str]]:
    """Addresses of databases with the schema BEFORE, made by `postgres`; gone afterwards."""
    names = [f"schema_{next(_names)}" for _ in range(number)]
    try:
        for name in names:
            server.create_database(name)
            run(server, server.url(name, ADMIN), "SET ROLE postgres; " + BEFORE)
        yield [server.url(name) for name in names]
    finally:
        for name in names:
            server.drop_database(name)


def run(server: LocalPostgres, url: str, text: str) -> None:
    """Statements as the superuser in the schema `app`, each message a transaction of its own."""
    database = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(server.url(str(database), ADMIN), autocommit=True) as connection:
        connection.execute("SET search_path = app, public")
        connection.execute(text.encode())


def change(server: LocalPostgres, url: str) -> None:
    """All of CHANGES, each committed, made by the superuser acting as `postgres` where that may."""
    for one in CHANGES:
        as_superuser = any(word in one.sql for word in ("EVENT TRIGGER", "OWNER TO", "PUBLICATION"))
        run(server, url, ("" if as_superuser else "SET ROLE postgres; ") + one.sql)
