"""docs/supabase.md ends with the guide that teams work by; every command that answers a line of it is tried here."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from supabase_support import managed

from sandbox.stage import Ran
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

PAGE = (Path(__file__).parent.parent / "docs" / "supabase.md").read_text()
TABLE = PAGE[PAGE.index("## The guide, line by line") :]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines() if line.startswith("| ")
][2:]
STAGES = 22
"""So many lines the guide has."""

ANSWERS = {
    "new add_status": (0, "Made supabase/migrations/"),
    "push dev": (0, "dev"),
    "push dev --wait 10m": (0, "nothing to do"),
    "push prod": (0, "waiting for approval"),
    "reset dev": (0, "Drops 1 table: public.notes"),
    "list": (0, "20260101000000_notes"),
    "types dev --check": (2, "project_ref"),
    "lint repository": (0, "Nothing of it is forbidden"),
    "plan prod": (0, "20260101000000_notes.sql"),
    "diff prod": (0, "notes"),
    "health prod": (0, "Management API"),
    "health": (0, "shop/dev"),
    "backups prod": (0, "At Supabase"),
    "status": (0, "shop/prod"),
    "status prod": (0, "shop/prod"),
    "tables prod": (0, "table"),
    "secrets prod": (0, "STRIPE_KEY"),
    "repair prod reverted 20260101000000": (0, "nothing to do"),
    "functions prod": (0, "hello"),
    "functions prod logs hello": (0, "hello"),
    "functions prod rollback hello": (3, "hello"),
    "rollback R-1": (0, "R-1"),
    "drift prod": (0, "shop/prod"),
}
"""What each command of the table ends with on this stage, and words that its answer has. A function that no run of ours
has replaced has nothing to go back to, and dev is no project of Supabase here: both say so."""


def commands(text: str) -> list[str]:
    return re.findall(r"`countersign ([^`]+)`", text)


def test_every_line_of_the_guide_has_an_answer() -> None:
    assert len(ROWS) == STAGES
    for stage, answer, _ in ROWS:
        assert commands(answer) or answer.startswith(("by itself", "`")), stage
    assert {one for _, answer, _ in ROWS for one in commands(answer)} == ANSWERS.keys()


@pytest.fixture
def stage(make_stage: Callable[..., Stage], supabase_api: SupabaseApi) -> Stage:
    """A shop whose prod is a Supabase project with a function and a secret; dev has the one migration, prod not yet."""
    supabase_api.project.put_function("hello")
    supabase_api.project.secrets["STRIPE_KEY"] = ("a value", "2026-11-20T10:00:00.000Z")
    rules = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\nexposed_schemas = []\n'
    made = make_stage(**managed(supabase_api, rules, empty=True))
    said = made.config.read_text().replace('repository = "repository"', 'repository = "repository"\ntypes = "src/t.ts"')
    made.config.write_text(said.replace("approvals = 0", "approvals = 0\ndisposable = true"))
    made.commit({"supabase/functions/hello/index.ts": "Deno.serve(() => new Response('ok'))\n"}, "Say hello")
    made.migration("20260101000000_notes.sql", "create table public.notes (id int primary key);\n")
    return made


def test_every_answer_works(stage: Stage) -> None:
    failed = []
    for words, (code, says) in sorted(ANSWERS.items(), key=lambda one: one[0] != "push dev"):
        ran = _in_the_project(stage, words) if words.startswith(("new", "list")) else stage.cli(*words.split())
        if ran.code != code or says not in ran.out + ran.err:
            failed.append((words, ran.code, ran.out[-700:], ran.err[-700:]))
    assert not failed, "\n".join(map(str, failed))


def _in_the_project(stage: Stage, words: str) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "folder", stage.repository)
        return stage.cli(*words.split())
