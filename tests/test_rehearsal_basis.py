"""A rehearsal stands for another one only while all that it rests on is the same, and is told as its own request's."""

from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from rehearsal_support import FILE
from rehearsal_support import GOOD
from rehearsal_support import NEXT
from rehearsal_support import kinds
from rehearsal_support import push

from audit import Reader
from ops.hazards.rehearsed import SMALL_BYTES
from ops.rehearsal_basis import _is_alike
from ops.rehearsing import report_of
from ops.requests import find_request
from sandbox.stage import Ran
from sandbox.stage import Stage


def plan(stage: Stage) -> Ran:
    found = stage.cli("plan", "prod", "--json")
    assert found.code == 0, found.out
    return found


def levels(ran: Ran, rule: str) -> list[str]:
    return [one["level"] for one in ran.json["hazards"] if one["rule"] == rule]


# --- whose it is -----------------------------------------------------------------------------------------------------


def test_a_foreign_report_that_quotes_the_digest_is_not_shown_as_the_requests_own(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    assert push(alone).code == 0
    view = Reader(alone.log_path)
    request = find_request(view, "R-1")

    alone.migration(NEXT, f"comment on table public.orders is '{request.digest}';")
    assert plan(alone).json["rehearsal"]["outcome"] == "passed"

    newest = alone.events("rehearsed")[-1].data or {}
    assert request.digest in newest["diff"]
    report = report_of(view, request)
    assert report is not None
    assert [one.filename for one in report.files] == [FILE]


def test_a_request_names_the_rehearsal_that_was_made_for_an_earlier_plan(alone: Stage) -> None:
    alone.migration(FILE, GOOD)
    plan(alone)
    assert push(alone).code == 0
    view = Reader(alone.log_path)

    request = find_request(view, "R-1")

    (made,) = alone.events("rehearsed")
    assert (request.rehearsal or {})["event"] == made.id
    report = report_of(view, request)
    assert report is not None
    assert report.diff_text == (made.data or {})["diff"]


# --- the whole of it -------------------------------------------------------------------------------------------------

MANY = 60
LOCKS_ALL = """\
do $$
declare one regclass;
begin
  for one in select oid from pg_class where relname like 'many\\_%' and relkind = 'r' loop
    execute format('lock table %s in access exclusive mode', one);
  end loop;
end $$;
"""


def test_hazards_are_judged_by_all_that_was_shown_and_are_the_same_when_it_is_known(alone: Stage) -> None:
    """More locks than a report keeps of one statement."""
    alone.sql("prod", "".join(f"create table if not exists public.many_{number} (i int);" for number in range(MANY)))
    alone.migration(FILE, LOCKS_ALL)
    try:
        first = plan(alone)
        again = plan(alone)
    finally:
        alone.sql("prod", "".join(f"drop table public.many_{number};" for number in range(MANY)))

    assert len(kinds(alone, "rehearsed")) == 1
    (statement,) = first.json["rehearsal"]["files"][0]["statements"]
    assert statement["more"] == MANY - len(statement["locks"])
    assert len(levels(first, "lock-seen")) == MANY
    assert (again.json["hazards"], again.json["digest"]) == (first.json["hazards"], first.json["digest"])
    assert again.json["rehearsal"] == first.json["rehearsal"]


# --- what changes beside the schema ----------------------------------------------------------------------------------

ROLES = "create role basis_one nologin; create role basis_two nologin;"
NO_ROLES = "drop role if exists basis_one; drop role if exists basis_two;"
OUTSIDE = [
    pytest.param("drop role basis_two", id="role-dropped"),
    pytest.param("alter role basis_one bypassrls", id="role-attribute"),
    pytest.param("grant basis_one to basis_two", id="membership"),
    pytest.param("alter role basis_one set search_path = nowhere", id="setting-of-a-role"),
    pytest.param("create table auth.basis (i int)", id="managed-schema"),
    pytest.param("update pg_extension set extversion = '0.9' where extname = 'plpgsql'", id="version-of-an-extension"),
]


def as_admin(stage: Stage, *queries: str) -> None:
    url = stage.postgres.url(stage.databases["prod"], "supabase_admin")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for query in queries:
            connection.execute(query.encode())


@pytest.mark.parametrize("change", OUTSIDE)
def test_what_no_fingerprint_covers_makes_a_rehearsal_old(alone: Stage, change: str) -> None:
    as_admin(alone, NO_ROLES, ROLES)
    alone.migration(FILE, GOOD)
    try:
        first = plan(alone)
        plan(alone)
        assert len(kinds(alone, "rehearsed")) == 1

        as_admin(alone, change)
        again = plan(alone)
    finally:
        as_admin(
            alone,
            "drop table if exists auth.basis",
            "update pg_extension set extversion = '1.0' where extname = 'plpgsql'",
            NO_ROLES,
        )

    assert len(kinds(alone, "rehearsed")) == 2
    assert [one["sha256"] for one in again.json["pending"]] == [one["sha256"] for one in first.json["pending"]]


def test_a_table_that_was_small_is_looked_at_again(alone: Stage) -> None:
    alone.migration(FILE, "create index orders_note on public.orders (note);")
    first = plan(alone)
    (rule,) = {one["rule"] for one in first.json["hazards"] if "public.orders is small" in one["message"]}
    assert set(levels(first, rule)) == {"info"}

    alone.sql("prod", "insert into public.orders select i, repeat('x', 40) from generate_series(2, 200000) as i")
    again = plan(alone)

    assert "info" not in levels(again, rule)
    assert levels(again, rule) != []
    assert again.json["digest"] == first.json["digest"]
    assert len(kinds(alone, "rehearsed")) == 2


def test_a_size_counts_as_another_where_a_hazard_would_be_judged_otherwise() -> None:
    mega, giga = 2**20, 2**30
    assert mega == SMALL_BYTES
    alike: Callable[[int, int | None], bool] = _is_alike
    assert alike(8192, 900_000), "small is small"
    assert not alike(mega - 1, mega)
    assert alike(10 * mega, 19 * mega)
    assert not alike(10 * mega, 21 * mega)
    assert not alike(21 * mega, 10 * mega)
    assert not alike(giga - 1, giga)
    assert not alike(10 * mega, None), "what cannot be read is not taken for the same"
