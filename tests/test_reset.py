"""Emptying an environment that is there to be thrown away, and filling it anew."""

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from sandbox.postgres import ADMIN
from sandbox.stage import Stage

Make = Callable[..., Stage]

NOTES = """create schema app;
create type public.mood as enum ('good', 'bad');
create domain public.short as text check (length(value) < 9);
create table public.notes (id int generated always as identity primary key, body public.short, mood public.mood);
create table app.parts (id int, note int references public.notes) partition by range (id);
create table app.parts_low partition of app.parts for values from (0) to (10);
create view public.glad as select * from public.notes where mood = 'good';
create function public.touch() returns trigger language plpgsql as $$ begin return new; end $$;
create procedure public.nothing() language sql as $$ select 1 $$;
create aggregate public.total (int) (sfunc = int4pl, stype = int, initcond = '0');
create trigger touches before insert on auth.users for each row execute function public.touch();
create policy mine on storage.buckets using (true);
"""
PLATFORM = """insert into auth.users (id) values (gen_random_uuid());
insert into storage.buckets (id, name) values ('pictures', 'pictures')"""


@pytest.fixture
def stage(make_stage: Make) -> Stage:
    """dev may be thrown away and has one migration of everything, with rows in it and in the platform's tables."""
    made = make_stage(empty=True)
    made.config.write_text(made.config.read_text().replace("approvals = 0", "approvals = 0\ndisposable = true"))
    made.sql("dev", PLATFORM)
    url = made.postgres.url(made.databases["dev"], ADMIN)
    with psycopg.connect(url, autocommit=True) as connection:  # the platform lets postgres make policies there
        connection.execute("alter table storage.buckets owner to postgres")
    made.migration("20260101000000_all.sql", NOTES)
    pushed = made.cli("push", "dev", "--json")
    assert pushed.json["status"] == "succeeded", pushed.out
    made.sql("dev", "insert into public.notes (body) values ('one'), ('two')")
    return made


def test_it_shows_first_then_drops_exactly_that_and_pushes_anew(stage: Stage) -> None:
    shown = stage.cli("reset", "dev", "--json")
    assert (shown.code, shown.json["status"], shown.json["request"]) == (0, "shown", None)
    does = " ".join(shown.json["does"])
    for words in (
        "1 schema: app",
        "1 table: public.notes",
        "2 types: public.mood, public.short",
        "1 view: public.glad",
    ):
        assert f"Drops {words}" in does
    assert "Drops 1 policy: mine ON storage.buckets" in does
    assert "Empties the migration history, 1 row" in does
    assert "public.notes 2 rows" in shown.json["loses"][0]
    assert stage.sql("dev", "select count(*) from public.notes") == [(2,)]

    wrong = stage.cli("reset", "dev", "--name", "prod", "--json")
    assert (wrong.code, wrong.json["reason"]) == (3, "not_confirmed")
    stage.sql("dev", "insert into public.notes (body) values ('three')")
    plan = shown.json["digest"][:16]
    other = stage.cli("reset", "dev", "--name", "dev", "--plan", plan, "--json")
    assert (other.code, other.json["reason"]) == (3, "plan_changed")
    assert {one.request for one in stage.events("started")} == {"R-1"}

    done = stage.cli("reset", "dev", "--name", "dev", "--json")
    assert (done.code, done.json["status"], done.json["kind"]) == (0, "succeeded", "push"), done.out + done.err
    assert done.json["reset"]["status"] == "succeeded"
    assert stage.sql("dev", "select count(*) from public.notes") == [(0,)]
    assert stage.sql("dev", "select count(*) from app.parts") == [(0,)]
    assert stage.sql("dev", "select version from supabase_migrations.schema_migrations") == [("20260101000000",)]
    kept = "select (select count(*) from auth.users), (select count(*) from storage.buckets)"
    assert stage.sql("dev", kept) == [(1, 1)]

    stage.cli("plan", "dev")
    assert stage.events("changed_outside") == []
    text = stage.cli("show", "R-2").out
    assert "R-2 · reset shop/dev" in text
    assert "DROP TABLE IF EXISTS public.notes CASCADE" in text or "reset.sql" in text


def test_only_what_says_so_can_be_reset_and_never_a_database_that_is_somebody_elses(stage: Stage) -> None:
    refused = stage.cli("reset", "prod", "--name", "prod", "--json")
    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    stage.environment["SHOP_PROD_DATABASE_URL"] = stage.environment["SHOP_DEV_DATABASE_URL"]
    same = stage.cli("reset", "dev", "--name", "dev", "--json")
    assert (same.code, same.json["reason"]) == (3, "not_allowed")
    assert "the same database or Supabase project as shop/prod" in same.json["message"]
    config = stage.config.read_text()
    stage.config.write_text(config.replace("approvals = 1", "approvals = 1\ndisposable = true"))
    bad = stage.cli("plan", "dev", "--json")
    assert (bad.code, bad.json["reason"]) == (2, "bad_config")
    assert "people approve what happens here" in bad.json["message"]
    assert stage.sql("dev", "select count(*) from public.notes") == [(2,)]


def test_at_a_terminal_the_name_is_asked_for_and_only_the_right_one_counts(stage: Stage) -> None:
    said = []
    for typed in ("prod", "dev"):
        parent, child = pty.openpty()
        command = [sys.executable, "-m", "countersign", "reset", "dev"]
        process = subprocess.Popen(
            command, cwd=stage.folder, env=stage.environment, stdin=child, stdout=child, stderr=child
        )
        os.close(child)
        os.write(parent, f"{typed}\n".encode())
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while piece := os.read(parent, 65536):
                shown += piece
        os.close(parent)
        said.append((process.wait(60), shown.decode()))
    assert said[0][0] == 3
    assert "Type dev to do exactly this" in said[0][1]
    assert "Drops 1 table: public.notes" in said[0][1]
    assert "The name that you typed is 'prod'" in said[0][1]
    assert said[1][0] == 0, said[1][1]
    assert stage.sql("dev", "select count(*) from public.notes") == [(0,)]
