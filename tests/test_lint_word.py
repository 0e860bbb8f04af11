"""`lint`: hazards of files, in a folder where there is nothing but the repository."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.completion import FILES
from commands.completion import completions
from commands.tool_parsers import parser_of

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "sandbox" / "project"
GOOD = "create table public.notes (id int primary key);\nalter table public.notes enable row level security;\n"
DROP = "-- no longer used\ndrop table public.orders;\n"
PUBLIC = "create table public.open (id int primary key);\n"
CUT = "select 1;\ncreate table public.x (id int\n"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Lint = Callable[..., Ran]


@pytest.fixture
def lint(tmp_path: Path) -> Lint:
    """Run the command in an empty folder, without a configuration, a log, or a variable that leads to one."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}

    def run(*arguments: str) -> Ran:
        command = [sys.executable, "-m", "countersign", "lint", *arguments]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def make(name: str, text: str | bytes) -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return make


Write = Callable[..., str]


def test_lines_are_as_compilers_write_them(lint: Lint, write: Write) -> None:
    name = write("supabase/migrations/20261201000000_drop.sql", DROP)

    ran = lint(name)

    assert ran.out.splitlines() == [
        f"{name}:2: danger data_loss/drop-table: Drops table public.orders with its rows.",
        "    safe way: Copy the rows aside first, or rename it now and drop it some days later.",
        "1 migration: 1 danger. Nothing of it is forbidden.",
    ]
    assert (ran.code, ran.err) == (0, "")


def test_nothing_is_left_behind(lint: Lint, write: Write, tmp_path: Path) -> None:
    write("20261201000000_good.sql", GOOD)

    assert lint("20261201000000_good.sql").out == "1 migration: nothing found.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["20261201000000_good.sql"]


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (DROP, "forbidden", 0),
        (DROP, "danger", 1),
        (DROP, "caution", 1),
        (GOOD, "info", 0),
        (CUT, "forbidden", 1),
    ],
    ids=["danger below", "danger at", "danger above", "nothing", "cannot be run"],
)
def test_exit_code_says_whether_it_is_too_much(lint: Lint, write: Write, text: str, fail_on: str, code: int) -> None:
    ran = lint("--fail-on", fail_on, write("20261201000000_x.sql", text))

    assert ran.code == code
    assert lint(write("20261201000000_x.sql", text), "--json", "--fail-on", fail_on).code == code


def test_json_is_one_object_with_the_hazards_of_the_contract(lint: Lint, write: Write) -> None:
    ran = lint(write("20261201000000_drop.sql", DROP), "--json")

    assert ran.json["ok"] is True
    assert ran.json["hazards"] == [
        {
            "rule": "drop-table",
            "class": "data_loss",
            "level": "danger",
            "version": "20261201000000",
            "line": 2,
            "message": "Drops table public.orders with its rows.",
            "file": "20261201000000_drop.sql",
        }
    ]
    assert ran.json["refusals"] == []
    assert [one["file"] for one in ran.json["files"]] == ["20261201000000_drop.sql"]
    assert ran.err == ""


def test_json_of_too_much_has_a_reason(lint: Lint, write: Write) -> None:
    told = lint(write("20261201000000_drop.sql", DROP), "--json", "--fail-on", "danger").json

    assert (told["ok"], told["status"], told["reason"]) == (False, "failed", "hazards_found")
    assert told["message"] == "1 migration: 1 danger. Something of it is danger or worse."
    assert told["hint"]


def test_what_cannot_be_run_is_said_with_its_line(lint: Lint, write: Write) -> None:
    ran = lint(write("20261201000000_cut.sql", CUT))

    assert "20261201000000_cut.sql:2: forbidden refusal/cut_off: " in ran.out
    assert ran.out.splitlines()[-1].endswith("1 reason why it cannot be run. Something of it is forbidden.")


def test_what_cannot_be_read_is_a_hazard_with_its_line(lint: Lint, write: Write) -> None:
    ran = lint(write("20261201000000_odd.sql", "select 1;\nselekt 2;\n"), "--fail-on", "caution")

    assert re.search(r"^20261201000000_odd\.sql:2: \w+ unchecked/cannot-be-read: ", ran.out, re.MULTILINE)
    assert ran.code == 1


@pytest.mark.parametrize("named", [".", "supabase", "supabase/migrations", "supabase/migrations/"])
def test_project_folder_finds_its_migrations(lint: Lint, write: Write, named: str) -> None:
    write("supabase/migrations/20261201000000_a.sql", GOOD)
    write("supabase/migrations/20261202000000_b.sql", DROP)
    write("supabase/seed.sql", "truncate public.notes;")

    told = lint(named, "--json").json

    assert [one["version"] for one in told["files"]] == ["20261201000000", "20261202000000"]
    assert [one["rule"] for one in told["hazards"]] == ["drop-table"]


def test_several_files_are_taken_together_in_the_order_of_their_versions(lint: Lint, write: Write) -> None:
    second = write("20261202000000_protect.sql", "alter table public.open enable row level security;\n")
    first = write("20261201000000_make.sql", PUBLIC)

    assert lint(first, "--json").json["hazards"][0]["rule"] == "table-without-rls"
    together = lint(second, first, "--json").json
    assert together["hazards"] == []
    assert [one["file"] for one in together["files"]] == [first, second]


def test_draft_with_any_name_is_read_when_it_is_named(lint: Lint, write: Write) -> None:
    told = lint(write("draft.sql", DROP), "--json").json

    assert [(one["file"], one["line"]) for one in told["hazards"]] == [("draft.sql", 2)]
    assert told["skipped"] == {}
    [note] = told["files"][0]["notes"]
    assert note.startswith("a push would skip it: the name is not like")
    assert f"draft.sql: note: {note}\n" in lint("draft.sql").out


def test_what_is_no_sql_is_skipped_and_not_judged_when_it_is_named(lint: Lint, write: Write) -> None:
    """As a shell's * names everything in a folder."""
    good = write("20261201000000_good.sql", GOOD)

    ran = lint(good, write("README.md", "Drop table by table; see 'notes"))

    assert ran.out.splitlines() == [
        'README.md: skipped: the name is not like "20260101000000_name.sql"',
        "1 migration: nothing found.",
    ]
    assert (lint("README.md").code, lint("README.md").err.splitlines()[2]) == (2, "README.md holds no migration.")


@pytest.mark.parametrize(
    ("text", "note"),
    [("", "it is empty"), ("-- later\n/* or never */\n", "there is nothing in it but comments")],
    ids=["empty", "comments"],
)
def test_file_that_does_nothing_says_so(lint: Lint, write: Write, text: str, note: str) -> None:
    name = write("20261201000000_x.sql", text)

    assert lint(name).out.splitlines() == [f"{name}: note: {note}", "1 migration: nothing found."]


def test_options_may_stand_between_files(lint: Lint, write: Write) -> None:
    first, second = write("20261201000000_a.sql", GOOD), write("20261202000000_b.sql", DROP)

    assert lint(first, "--fail-on", "danger", second).code == 1


@pytest.mark.parametrize("text", ["--fail-on=worse", "--project-ref=nope", "--nope"])
def test_bad_option_is_bad_usage(lint: Lint, write: Write, text: str) -> None:
    ran = lint(write("20261201000000_a.sql", GOOD), text, "--json")

    assert (ran.code, ran.json["reason"]) == (2, "bad_usage")


def test_without_a_file_it_says_what_is_missing(lint: Lint) -> None:
    ran = lint("--json")

    assert (ran.code, ran.json["reason"]) == (2, "bad_usage")
    assert "files" in ran.json["message"]


def test_file_that_is_not_there_is_one_clear_sentence(lint: Lint) -> None:
    ran = lint("missing.sql", "--json")

    assert (ran.code, ran.json["message"]) == (2, "missing.sql cannot be read: No such file or directory.")


def test_folder_without_migrations_is_no_all_clear(lint: Lint, tmp_path: Path) -> None:
    (tmp_path / "supabase" / "migrations").mkdir(parents=True)

    assert (lint(".").code, lint(".").err.splitlines()[2]) == (2, ". holds no migration.")


def test_links_are_not_followed(lint: Lint, write: Write, tmp_path: Path) -> None:
    write("secret.txt", DROP)
    write("supabase/migrations/20261201000000_a.sql", GOOD)
    link = tmp_path / "supabase" / "migrations" / "20261202000000_b.sql"
    link.symlink_to(tmp_path / "secret.txt")

    in_folder, named = lint(".", "--json"), lint("supabase/migrations/20261202000000_b.sql", "--json")

    assert (in_folder.json["hazards"], in_folder.json["skipped"]) == (
        [],
        {"supabase/migrations/20261202000000_b.sql": "it is a symbolic link"},
    )
    assert (named.code, named.json["message"]) == (2, "supabase/migrations/20261202000000_b.sql is a symbolic link.")


def test_pipe_does_not_make_it_wait(lint: Lint, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "20261201000000_pipe.sql")

    assert lint("20261201000000_pipe.sql", "--json").json["message"] == "20261201000000_pipe.sql is no file."


def test_file_that_is_too_large_is_refused(lint: Lint, write: Write) -> None:
    ran = lint(write("20261201000000_large.sql", b"-" * (8 * 2**20 + 1)), "--json")

    assert (ran.code, ran.json["message"]) == (2, "20261201000000_large.sql is larger than 8 MB.")


def test_two_files_of_one_name_are_not_mixed_up(lint: Lint, write: Write) -> None:
    ran = lint(write("a/20261201000000_x.sql", GOOD), write("b/20261201000000_x.sql", DROP), "--json")

    assert (ran.code, ran.json["message"]) == (
        2,
        "b/20261201000000_x.sql has the same name as a/20261201000000_x.sql.",
    )


def test_names_cannot_steer_a_terminal(lint: Lint, write: Write) -> None:
    ran = lint(write("20261201000000_\x1b[31m\u202e.sql", 'drop table "\x1b]0;x\x07";'), "--markdown")

    assert not set("\x1b\x07\u202e") & set(ran.out + ran.err)


def test_secrets_are_not_repeated(lint: Lint, write: Write) -> None:
    secret = "sbp_" + "0123456789abcdef" * 2 + "01234567"
    name = write("20261201000000_secret.sql", f"select set_config('app.key', '{secret}', false);\n")

    for form in ([], ["--json"], ["--markdown"]):
        ran = lint(name, *form)
        assert "secret" in ran.out
        assert secret not in ran.out + ran.err


def test_markdown_is_for_a_comment(lint: Lint, write: Write) -> None:
    name = write("20261201000000_drop.sql", DROP)

    ran = lint(name, "--markdown", "--fail-on", "danger")

    assert ran.code == 1
    assert ran.out.startswith("## 1 migration: 1 danger. Something of it is danger or worse.\n")
    assert f"| **danger** | `data_loss/drop-table` | `{name}:2` | Drops table public.orders" in ran.out
    assert lint(name, "--markdown", "--fail-on", "danger", "--json").json["markdown"] == ran.out


def test_another_projects_address_is_found_when_the_project_is_named(lint: Lint, write: Write) -> None:
    name = write(
        "20261201000000_url.sql",
        "select net.http_post('https://zyxwvutsrqponmlkjihg.supabase.co/functions/v1/hook');\n",
    )

    told = lint(name, "--project-ref", "abcdefghijklmnopqrst", "--json").json
    same = lint(name, "--project-ref", "zyxwvutsrqponmlkjihg", "--json").json

    levels = [[one["level"] for one in each["hazards"] if one["class"] == "foreign_project"] for each in (told, same)]
    assert levels == [["danger"], ["info"]]


def test_files_are_completed_after_it(tmp_path: Path) -> None:
    assert completions(["lint", ""], parser_of, lambda _: tmp_path / "none.toml") == FILES
    assert ("danger", "") in completions(["lint", "--fail-on", ""], parser_of, lambda _: tmp_path / "none.toml")


def test_example_project_has_nothing_dangerous(lint: Lint) -> None:
    assert lint(str(PROJECT), "--fail-on", "danger").code == 0
