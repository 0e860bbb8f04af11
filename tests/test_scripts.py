"""What runs that is no file of a folder: scripts of a plan, what they do to the history, and what is left of a file."""

from dataclasses import replace

import pytest
from apply_helpers import MIXED
from apply_helpers import ListJournal
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.apply_journal import Outcome
from ops.apply_recovery import inspect_after_crash
from ops.catalog import catalog_hash
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryRow
from ops.history import read_history
from ops.migration import Effect
from ops.scripts import Script
from ops.scripts import from_json
from ops.scripts import removed_rows

HALF_DONE = MIXED.replace("(1);", "(1), (2);")


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


def script(sql: str, effect: Effect = Effect.KEEPS, **more) -> Script:
    return Script("20260101000000", "change", "undo of 20260101000000_change.sql", effect, sql=sql, **more)


def versions(target) -> list[str]:
    return [row.version for row in read_history(target.connection)]


def test_a_script_survives_the_plan(target):
    whole = script("drop table a;", Effect.REMOVES, row=HistoryRow("20260101000000", "change", "ab" * 32, 2))
    assert from_json(whole.to_json()) == whole
    assert removed_rows({"scripts": [whole.to_json()]}) == (whole.row,)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"version": "R-7"}, "no version"),
        ({"path": "migrations/a.sql", "sha256": ""}, "a file without its hash"),
        ({"path": "migrations/a.sql", "sha256": "00", "sql": "select 1"}, "a file and a text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_script_that_makes_no_sense_is_none(fields, why):
    with pytest.raises(ValueError, match=r"^(R-7|a script is a file with its hash, or a text)$"):
        Script(**{"version": "1", "name": "", "filename": "x", "effect": Effect.KEEPS, **fields})


def test_a_secret_in_a_script_gets_into_no_plan():
    key = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    with pytest.raises(OpsError) as caught:
        script(f"select set_config('app.key', '{key}', false)")
    assert caught.value.reason is Reason.PLAN_BLOCKED
    assert key not in f"{caught.value} {caught.value.hint}"


def test_what_undoes_a_file_takes_its_row_away_in_the_same_transaction(target):
    base = catalog_hash(target.connection)
    apply(target, migration("create table a (i int)"))
    journal = ListJournal()
    undone = apply(target, script("drop table a;", Effect.REMOVES).migration(), journal=journal)
    assert versions(target) == []
    assert undone.catalog_sha256 == base == catalog_hash(target.connection)

    with pytest.raises(OpsError) as caught:
        apply(target, script("create table b (i int);", Effect.REMOVES).migration())
    assert caught.value.reason is Reason.PLAN_CHANGED
    assert not target.has("b")


def test_a_script_that_keeps_the_history_leaves_it_as_it_is(target):
    apply(target, migration("create table a (i int)"))
    before = read_history(target.connection)
    apply(target, script("create index a_i on a (i);").migration())
    assert read_history(target.connection) == before
    assert target.has("a_i")


def test_what_is_left_of_a_file_runs_and_the_row_holds_all_of_it(target):
    whole = migration(HALF_DONE)
    target.run("create table a (i int); create index a_i on a (i)")
    left = Script(
        whole.version, whole.name, whole.filename, Effect.ADDS, path="migrations/x", sha256=whole.sha256, done=2
    ).migration(whole.content)
    assert [segment.statements for segment in left.segments] == [(2,)]
    apply(target, left)
    assert target.rows("SELECT count(*) FROM a") == [(2,)]
    rows = target.rows("SELECT statements FROM supabase_migrations.schema_migrations")
    assert rows == [([statement.text for statement in whole.statements],)]


def test_a_failure_of_what_is_left_says_that_the_rest_stays(target):
    whole = migration(HALF_DONE)
    with pytest.raises(OpsError) as caught:  # nobody has made the table
        apply(target, replace(whole, segments=whole.segments[2:], done=2))
    assert caught.value.reason is Reason.SQL_FAILED
    assert caught.value.details["remains"] == "The first 2 of this file's 3 statements stay on the target."


@pytest.mark.parametrize("effect", [Effect.REMOVES, Effect.KEEPS], ids=str)
def test_after_a_crash_the_target_tells_what_became_of_a_script(target, effect):
    """Before its COMMIT nothing of it is there; behind it all of it, although no history row says so."""
    apply(target, migration("create table a (i int)"))
    journal = ListJournal()
    file = script("alter table a add column n int;", effect).migration()

    class KilledError(BaseException):
        pass

    def die_before_commit(entry):
        if hasattr(entry, "xid"):
            raise KilledError

    with pytest.raises(KilledError):
        apply(target, file, journal=ListJournal(before=die_before_commit))
    apply(target, file, journal=journal)
    intent, commit = journal.entries[:2]
    done = inspect_after_crash(target.connection, file, intent, commit_xid=commit.xid)
    assert (done.outcome, done.of) == (Outcome.DONE, "file")

    if effect is Effect.KEEPS:  # a history that stays as it is tells nothing, so a COMMIT that never went out does
        assert inspect_after_crash(target.connection, file, intent).outcome is Outcome.ROLLED_BACK
