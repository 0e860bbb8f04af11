"""What makes long pushes and long histories cheap, and that it never changes what is found: hashes, sessions, files."""

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from apply_helpers import QUICK
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import fresh_target
from apply_helpers import migration
from apply_helpers import never

from audit import Event
from ops.apply import apply_migration
from ops.apply_journal import CommitIntent
from ops.apply_plain import Relation
from ops.apply_plain import touched_relations
from ops.apply_session import Sessions
from ops.catalog import catalog_hash
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.history import file_sha256
from ops.history import read_versions
from ops.known_files import KnownFiles
from ops.migrations import Migration
from ops.migrations import read_folder
from sandbox.stage import Stage

TABLE = "create table {0} (id bigint primary key, note text not null default '');"


def push(target: Target, *files: Migration, outsider: str = "") -> ListJournal:
    """Apply files as one run does; somebody else may run `outsider` just before the last."""
    journal = ListJournal()
    with Guard(partial(target.connect, "guard"), "shop/prod") as guard, closing(Sessions()) as sessions:
        expected = list(read_versions(target.connection))
        for file in files:
            if outsider and file is files[-1]:
                target.run(outsider)
            apply_migration(
                file,
                connect=partial(target.connect, "migrate"),
                guard=guard,
                patience=QUICK,
                journal=journal,
                stop=never,
                expect_history=expected,
                sessions=sessions,
            )
            expected.append(file.version)
    return journal


def numbered(*texts: str) -> list[Migration]:
    return [migration(text, f"2026010100000{number}_step.sql") for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([TABLE.format(name) for name in "abcd"], id="tables"),
        pytest.param(
            [
                "create table a (id serial primary key, n int check (n > 0), at timestamptz default now());",
                "alter table a add column note text default 'x', enable row level security;",
                'create table "B c" (a int references a (id)); insert into "B c" values (null);',
                'create index on a (n); create unique index "odd name" on public."B c" (a);',
            ],
            id="changes of what an earlier file made",
        ),
        pytest.param(
            [TABLE.format("a"), TABLE.format("b"), "alter table a rename to z; drop table b;", TABLE.format("c")],
            id="a file between that is not plain",
        ),
    ],
)
def test_every_file_leaves_the_hash_that_the_whole_catalog_has(texts: list[str]) -> None:
    files = numbered(*texts)
    whole: list[str] = []
    with fresh_target() as alone:
        for file in files:
            push(alone, file)
            whole.append(catalog_hash(alone.connection))
    with fresh_target() as target:
        told = [entry.catalog_sha256 for entry in push(target, *files).entries if isinstance(entry, CommitIntent)]

    assert told == whole


def test_plain_files_share_a_session_and_what_comes_after_another_does_not() -> None:
    files = numbered(TABLE.format("a"), TABLE.format("b"), "set search_path = pg_temp; select 1;", TABLE.format("c"))
    with fresh_target() as target:
        first, second, third, fourth = (intent.backend_pid for intent in push(target, *files).intents())

    assert first == second == third
    assert fourth != third


def test_a_row_that_somebody_adds_between_two_plain_files_is_noticed() -> None:
    add = "insert into supabase_migrations.schema_migrations (version) values ('20250101000000')"
    with fresh_target() as target, pytest.raises(OpsError) as caught:
        push(target, *numbered(TABLE.format("a"), TABLE.format("b"), TABLE.format("c")), outsider=add)

    assert caught.value.reason is Reason.PLAN_CHANGED
    assert "20250101000000 was added" in caught.value.message


@pytest.mark.parametrize(
    ("text", "touched"),
    [
        (TABLE.format("a") + "insert into a values (1, 'x');", ()),
        ("-- nothing\n", ()),
        ("alter table app.a add column b int;", (Relation("app", "a"),)),
        ("create index on a (b);", (Relation(None, "a"),)),
    ],
)
def test_plain_files_say_what_they_touch(text: str, touched: tuple[Relation, ...]) -> None:
    assert touched_relations(migration(text)) == touched


@pytest.mark.parametrize(
    "text",
    [
        "set role clerk;",
        "select set_config('a.b', 'c', false);",
        "insert into old values (1);",
        TABLE.format("a") + "insert into a select 1, note from old;",
        "create temporary table a (i int);",
        "create table a (i int default my_own());",
        "create table a (i app.amount);",
        "create table a (like b);",
        "create table a partition of b for values in (1);",
        "alter table a rename to b;",
        "alter table a alter column b type text;",
        "create table a (i int check (i operator(app.<) 3));",
        "do $$ begin null; end $$;",
        "create function f() returns int language sql as 'select 1';",
        "create index concurrently on a (b);",
        "this is not read",
    ],
)
def test_what_may_leave_something_in_a_session_is_not_plain(text: str) -> None:
    assert touched_relations(migration(text)) is None


def test_known_files_outlive_the_process_and_a_damaged_note_is_forgotten(tmp_path: Path) -> None:
    path, blob = tmp_path / "mirror.files", "a" * 40
    known = KnownFiles(path)
    known.learn({blob: "b" * 64})
    known.save()

    assert path.stat().st_mode & 0o777 == 0o600
    assert KnownFiles(path).statements_sha256(blob) == "b" * 64
    path.write_bytes(b"\xff" + path.read_bytes())
    assert KnownFiles(path).statements_sha256(blob) is None


def test_a_file_that_is_not_read_has_the_hash_it_is_known_by() -> None:
    read = read_folder({"1_a.sql": b"select 1;", "2_b.sql": b"select 2;"}).migrations
    again = read_folder({"2_b.sql": b"select 2;"}, {"1_a.sql": file_sha256(read[0])}).migrations

    assert [one.version for one in again] == ["1", "2"]
    assert [file_sha256(one) for one in again] == [file_sha256(one) for one in read]


def test_an_applied_file_that_is_edited_is_told_although_it_was_known(stage: Stage) -> None:
    def problems() -> list[str]:
        return [one["code"] for one in stage.cli("plan", "dev", "--json").json["history"]]

    name = min((stage.repository / "supabase" / "migrations").iterdir()).name
    before = (stage.repository / "supabase" / "migrations" / name).read_text()
    assert problems() == problems() == []

    stage.migration(name, f"{before}\nselect 1;\n")
    assert problems() == ["edited"]
    stage.migration(name, before)
    assert problems() == []


def test_the_events_of_a_push_are_in_the_order_in_which_things_happened(stage: Stage) -> None:
    for number in range(3):
        stage.migration(f"2030010100000{number}_more.sql", TABLE.format(f"more_{number}"))
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"

    kinds = ("statement_sent", "commit_sent", "statement_finished", "migration_applied")
    found: list[Event] = stage.events(*kinds)
    assert [event.kind for event in found] == list(kinds) * 3
    assert [event.data["version"] for event in found if event.data][::4] == [f"2030010100000{n}" for n in range(3)]
