"""Who may not ask for anything on a target learns nothing of it, whatever they type; and no row leaks as a name."""

from collections.abc import Callable

from people_talk import ANA
from people_talk import CHI
from people_talk import rules
from people_talk import told
from people_talk import wait_for

from ops.migrations import read_migration
from ops.schema.model import Schema
from ops.undo.told_names import names_in
from sandbox.stage import Stage

Make = Callable[..., Stage]

WORDS = (
    "push prod",
    "plan prod",
    "drift prod",
    "backup prod",
    "resume R-1",
    "rollback R-1",
    "rollback R-1 --with script",
    "clean up R-1",
    "clean up prod",
    "terminate prod 1",
    "repair prod applied 20260101000000",
    'record prod 20260101000000 --by x --because "y"',
    "restore {backup} --to scratch",
    "restore {backup} --to prod",
)


def test_who_is_no_requester_learns_nothing_of_a_target(make_stage: Make) -> None:
    """No word looks at the target, rehearses or restores before it asks whether this person may."""
    stage = make_stage(empty=True, prod=rules(1, 'requesters = ["U0ANA"]'))
    stage.migration("20260101000000_secretplan.sql", "create table public.merger_with_acme (id int primary key);\n")
    stage.start_bot()
    assert "is taken and proven" in told(stage.slack.say(ANA, "/migrate backup prod --level intact"))
    assert "R-1 is asked for" in told(stage.slack.say(ANA, "/migrate push prod"))
    backup = str((stage.events("backup_proven")[0].data or {})["proof"]["sha256"])[:12]
    wait_for(lambda: stage.events("requested"), 20)
    for word in WORDS:
        said = told(stage.slack.say(CHI, "/migrate " + word.format(backup=backup)))
        assert "You may not request anything on shop/prod." in said, f"{word}: {said}"
        assert "merger" not in said


LEAKS = (
    "execute format('create table public.%I (id int)', translate(r, '@.', '__'))",
    "execute format('drop table public.%I', translate(r, '@.', '__'))",
)
"""What a reverse script does with an e-mail address of the copy's rows."""


def test_a_row_does_not_leak_as_the_name_of_what_a_reverse_script_makes_of_it(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod='approvals = 0\nbackup = "none"\nprior_copy = "off"\n')
    stage.sql("prod", "create table public.users (email text); insert into public.users values ('zed@hush.example')")
    stage.migration("20260101000000_items.sql", "create table public.items (id int);\n")
    assert stage.cli("push", "prod", "--json").json["status"] == "succeeded"
    said = []
    for number, leak in enumerate(LEAKS):
        script = (
            "drop table public.items;\n"
            f"do $$ declare r text; begin select email into r from public.users limit 1; {leak}; end $$;"
        )
        stage.commit({"supabase/rollbacks/20260101000000_items.down.sql": script}, f"Down {number}")
        ran = stage.cli("rollback", "R-1", "--with", "script", "--json")
        assert ran.code == 3, ran.out
        assert "hush" not in ran.out + ran.err
        said.append(ran.json["message"])
    assert "not what it was before R-1: a table whose name stands in no file." in said[0]
    assert 'table "«masked»" does not exist' in said[1]


def test_only_names_of_the_files_and_of_the_schemas_are_told() -> None:
    sql = 'create table public."Odd ""one" (id int); create policy Reading on public.orders;'
    file = read_migration("1_x.sql", "1", "x", sql.encode())
    names = names_in([file], Schema({}), None)
    told = [
        ("table", "public", 'Odd "one'),
        ("table", "public", "orders"),
        ("policy", "public", "reading on orders"),
    ]
    for kind, schema, name in told:
        assert names.some([(kind, schema, name)]) == f"{kind} {schema}.{name}"
    hidden = [
        ("table", "public", "zed@hush.example"),
        ("table", "zed", "orders"),
        ("table", "public", "orders public"),
        ("policy", "public", "zed on orders"),
        ("function", "public", "orders(zed)"),
    ]
    assert names.some(hidden) == (
        "a function whose name stands in no file, a policy whose name stands in no file, "
        "a table whose name stands in no file"
    )
    assert names.covered('column "zed" of relation "orders" does not exist') == (
        'column "«masked»" of relation "orders" does not exist'
    )
