"""What makes long pushes cheap, and that it never changes what is done: hashes, sessions, intents."""

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import zip_longest

import pytest
from apply_helpers import QUICK
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import fresh_target
from apply_helpers import migration
from apply_helpers import never
from chaos_terminal import Terminal

from audit import Event
from ops.apply import apply_migration
from ops.apply_journal import CommitIntent
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.apply_plain import Relation
from ops.apply_plain import touched_relations
from ops.apply_session import Sessions
from ops.catalog import catalog_hash
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.history import read_versions
from ops.migrations import Migration
from sandbox.stage import Stage

TABLE = "create table {0} (id bigint primary key, note text not null default '');"


def push(target: Target, *files: Migration, outsider: str = "", journal: ListJournal | None = None) -> ListJournal:
    """Apply files as one run does; somebody else may run `outsider` just before the last."""
    journal = journal or ListJournal()
    with Guard(partial(target.connect, "guard"), "shop/prod") as guard, closing(Sessions()) as sessions:
        expected = list(read_versions(target.connection))
        for file, following in zip_longest(files, files[1:]):
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
                following=following,
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
        pytest.param(
            [
                "create table p (id int); create table k () inherits (p); create table l () inherits (k);",
                TABLE.format("a"),
                "alter table p add column n int;",
            ],
            id="children of what is changed",
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


def test_event_trigger_of_the_project_lets_nobody_share_a_session() -> None:
    """Each file begins with the search path that the database gives, whatever an event trigger did in the one before."""
    with fresh_target() as target, closing(connect(target.admin_url, purpose="test")) as admin:
        admin.execute(
            """
            reset role;
            create schema other; grant all on schema other to public;
            create function hook() returns event_trigger language plpgsql as
              $$ begin perform set_config('search_path', 'other, public', false); end $$;
            create event trigger e on ddl_command_end when tag in ('CREATE TABLE') execute function hook()
            """
        )
        intents = push(target, *numbered(TABLE.format("a"), TABLE.format("b"), TABLE.format("c"))).intents()
        where = target.connection.execute(
            "select relname, relnamespace::regnamespace::text from pg_class where relname in ('a', 'b', 'c') order by 1"
        ).fetchall()

    assert where == [("a", "public"), ("b", "public"), ("c", "public")]
    assert len({intent.backend_pid for intent in intents}) == 3


def test_own_row_that_somebody_adds_between_two_parts_is_noticed_before_the_next_part() -> None:
    file = migration("create table a (id int);\ncreate index concurrently a_i on a (id);\ncreate table late (id int);")
    with fresh_target() as target:
        add = f"insert into supabase_migrations.schema_migrations (version) values ('{file.version}')"

        class SomebodyElse(ListJournal):
            def statement_intended(self, intent: Intent) -> None:
                super().statement_intended(intent)
                if intent.segment == 2:
                    target.run(add)

        with pytest.raises(OpsError) as caught:
            push(target, file, journal=SomebodyElse())
        [late] = target.connection.execute("select to_regclass('late')").fetchone() or ()

    assert caught.value.reason is Reason.PLAN_CHANGED
    assert late is None


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
        "create table pg_temp.a (i int);",
        "alter table pg_temp.a add column b int;",
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


def test_the_events_of_a_push_are_in_the_order_in_which_things_happened(stage: Stage) -> None:
    for number in range(3):
        stage.migration(f"2030010100000{number}_more.sql", TABLE.format(f"more_{number}"))
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"

    found: list[Event] = stage.events("statement_sent", "commit_sent", "statement_finished", "migration_applied")
    said = [(event.kind, int(str(event.data["version"])[-1])) for event in found if event.data]
    for number in range(3):
        of_file = [kind for kind, file in said if file == number]
        assert of_file == ["statement_sent", "commit_sent", "statement_finished", "migration_applied"]
    assert said.index(("statement_sent", 2)) < said.index(("commit_sent", 1))  # written down while the file before runs
    for number in (1, 2):
        assert said.index(("commit_sent", number - 1)) < said.index(("commit_sent", number))


PLAIN = tuple(f"create table plain_{n} (i int); insert into plain_{n} values ({n});" for n in range(4))


def test_what_a_sequence_gave_one_file_the_next_in_its_session_cannot_ask_for() -> None:
    files = numbered(
        "create table a (id serial primary key, n int); insert into a (n) values (1);",
        "create table b (id serial primary key, n int); insert into b (n) values (1);",
        "select lastval();",
    )
    with fresh_target() as target:
        journal = ListJournal()
        with pytest.raises(OpsError) as caught:
            push(target, *files, journal=journal)
        first, second, third = (intent.backend_pid for intent in journal.intents())

    assert first == second == third
    assert caught.value.details["sql"]["sqlstate"] == "55000"  # lastval is not yet defined in this session


def test_an_error_in_a_message_points_at_its_statement() -> None:
    wrong = "create table c (i int);\n-- a note\ninsert into c values (1); insert into c (j) values (2);"
    with fresh_target() as target, pytest.raises(OpsError) as caught:
        push(target, *numbered(*PLAIN[:2], wrong))

    told = caught.value.details["sql"]
    assert (told["sqlstate"], told["line"], told["column"]) == ("42703", 3, 42)
    assert told["statement"] == "insert into c (j) values (2)"
    assert caught.value.details["remains"] == ""


def test_a_file_that_fails_leaves_no_intent_of_the_file_behind_it() -> None:
    """It would have been written down with the COMMIT that never came."""
    journal = ListJournal()
    files = numbered(*PLAIN[:2], "create table c (i int); insert into c values ('x');", PLAIN[3])
    with fresh_target() as target, pytest.raises(OpsError):
        push(target, *files, journal=journal)

    assert [intent.version for intent in journal.intents()] == [file.version for file in files[:3]]


def test_an_intent_that_comes_to_nothing_is_taken_back() -> None:
    files = numbered(*PLAIN)
    with fresh_target() as target, closing(connect(target.admin_url, purpose="test")) as admin:

        def end_the_guard(entry: object) -> None:
            if isinstance(entry, Finished) and entry.version == files[1].version:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'guard'")

        journal = ListJournal(before=end_the_guard)
        with pytest.raises(OpsError) as caught:
            push(target, *files, journal=journal)
        [is_there] = target.connection.execute("select to_regclass('plain_2') is not null").fetchone() or ()

    assert caught.value.reason is Reason.CONNECTION_LOST
    assert not is_there
    told = [(entry.version, entry.outcome) for entry in journal.entries if isinstance(entry, Finished)]
    assert told[-2:] == [(file.version, Outcome.ROLLED_BACK) for file in files[2:]]


def test_what_waits_for_the_next_entry_is_told_when_a_file_takes_its_time() -> None:
    """That a file is applied is in the log while the next one waits or works, not when that is through."""
    files = numbered(*PLAIN[:2], "alter table plain_0 add column n int;")
    with fresh_target() as target, closing(target.connect("somebody")) as somebody:

        class LettingGo(ListJournal):
            def commit_intended(self, commit: CommitIntent, following: Intent | None) -> None:
                if following is not None and following.version == files[2].version:
                    somebody.execute("BEGIN; LOCK TABLE plain_0")
                super().commit_intended(commit, following)

            def catch_up(self) -> None:
                super().catch_up()
                somebody.execute("ROLLBACK")

        journal = push(target, *files, journal=LettingGo())

    assert journal.caught_up
    assert ("applied", files[2].version) == journal.entries[-1][:2]


@pytest.mark.parametrize(
    "point",
    [
        "after statement_sent 2",
        "after statement_sent 3",
        "before commit_sent 2",
        "after commit_sent 2",
        "before statement_sent 4",
        "after statement_sent 4",
        "after commit_sent 3",
        "after commit_sent 4",
        "before statement_finished 3",
        "after statement_finished 3",
    ],
)
def test_a_run_of_plain_files_killed_here_is_taken_up_and_done(make_stage: Callable[..., Stage], point: str) -> None:
    """Two intents may be open then: the file that was at work, and the one after it."""
    stage = make_stage(empty=True)
    for number, text in enumerate(PLAIN):
        stage.migration(f"2030010100000{number}_plain.sql", text)
    terminal = Terminal(stage)
    terminal("push", "dev", crash=point)
    shown = json.loads(terminal("show", "R-1", "--json")["out"])
    terminal.close()

    assert shown["status"] == "succeeded"
    assert disagreements_of(stage) == []
    assert [stage.sql("dev", f"select * from plain_{n}") for n in range(4)] == [[(n,)] for n in range(4)]


def disagreements_of(stage: Stage) -> list[str]:
    """Files of the request that are not exactly once in the history and in the log, and intents without an end."""
    applied = [event.data["version"] for event in stage.events("migration_applied") if event.data]
    history = [row[0] for row in stage.sql("dev", "select version from supabase_migrations.schema_migrations")]
    wanted = [f"2030010100000{number}" for number in range(4)]
    found = [version for version in wanted if applied.count(version) != 1 or history.count(version) != 1]
    sent = [event.data["version"] for event in stage.events("statement_sent") if event.data]
    ended = [event.data["version"] for event in stage.events("statement_finished") if event.data]
    return found + [version for version in wanted if sent.count(version) != ended.count(version)]
