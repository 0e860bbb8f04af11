"""What tests of rehearsals share: one stage whose throw-away servers are kept warm, and the files that run on it."""

import shutil
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from audit import Log
from ops.history import ensure_history
from ops.history import insert_row
from ops.migrations import read_folder
from sandbox.postgres import LocalPostgres
from sandbox.stage import Ran
from sandbox.stage import Stage

ALONE = 'approvals = 0\nbackup = "none"\nrehearsal = "required"\n'
SHOWN = ALONE.replace("required", "shown")
OFF = ALONE.replace("required", "off")
PEOPLE = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\nrehearsal = "required"\n'

BASE = "create table public.orders (id int primary key, note text);"
BASE_NAME = "20260101000000_orders.sql"
FILE = "20260102000000_change.sql"
NEXT = "20260103000000_next.sql"
GOOD = "alter table public.orders add column total numeric;"
MORE = "alter table public.orders add column more int;"
BROKEN = "alter table public.orders\n  add column total nummeric;\n"
IF_ROWS = """\
do $$
begin
  if exists (select from public.orders) then
    alter table public.orders add column had_rows boolean;
  end if;
end $$;
"""
"""Does something else where there are rows, as a copy without them cannot show."""


@pytest.fixture(scope="module")
def rehearsal_desk(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """One stage for all that needs no bot, so that the throw-away servers are made from what is kept of the first."""
    with Stage(prod=ALONE, empty=True, rate_limits=False, postgres=local_postgres) as stage:
        shutil.copy(stage.config, stage.folder / "original.toml")
        yield stage


@pytest.fixture
def alone(rehearsal_desk: Stage) -> Stage:
    """Nobody has to agree, and a rehearsal is required; the table is there, with a row."""
    configured(rehearsal_desk, ALONE)
    for path in rehearsal_desk.log_path.parent.glob("audit.db*"):
        path.unlink()
    Log.create(rehearsal_desk.log_path)
    for path in (rehearsal_desk.repository / "supabase" / "migrations").glob("*.sql"):
        path.unlink()
    rehearsal_desk.migration(BASE_NAME, BASE)
    rehearsal_desk.sql(
        "prod", "drop schema if exists supabase_migrations cascade; drop table if exists orders, by_hand"
    )
    with closing(psycopg.connect(rehearsal_desk.environment["SHOP_PROD_DATABASE_URL"], autocommit=True)) as connection:
        connection.execute(BASE.encode())
        ensure_history(connection)
        insert_row(connection, read_folder({BASE_NAME: BASE.encode()}).migrations[0])
        connection.execute("insert into public.orders values (1, 'a')")
    return rehearsal_desk


def configured(stage: Stage, rules: str) -> Stage:
    """The same with other rules."""
    stage.config.write_text((stage.folder / "original.toml").read_text().replace(ALONE, rules))
    return stage


def push(stage: Stage, *options: str) -> Ran:
    return stage.cli("push", "prod", "--json", *options)


def columns(stage: Stage) -> list[str]:
    query = "select column_name from information_schema.columns where table_name = 'orders' order by ordinal_position"
    return [name for (name,) in stage.sql("prod", query)]


def applied(stage: Stage) -> list[str]:
    return [v for (v,) in stage.sql("prod", "select version from supabase_migrations.schema_migrations order by 1")]


def kinds(stage: Stage, *wanted: str) -> list[str]:
    return [event.kind for event in stage.events(*wanted)]
