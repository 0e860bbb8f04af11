"""docs/by-hand.md, line by line: what it tells people to type at 3 a.m. is run here, in its order, on a real target."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
from people_talk import BEN
from people_talk import approve
from people_talk import in_order
from people_talk import rules
from people_talk import wait_for
from run_support import session
from test_half_way import card_of

from ops.guard import GUARD_KEY
from ops.guard import MIGRATING_KEY
from ops.tools import wheel_tools
from sandbox.stage import Stage

Make = Callable[..., Stage]

PAGE = (Path(__file__).parent.parent / "docs/by-hand.md").read_text()
NOTES = "20260301090000_add_notes.sql"
FIND = "20260301091000_find_notes.sql"


@dataclass
class Page:
    """The blocks of the page, taken one after the other; what is taken is what is typed."""

    stage: Stage
    blocks: list[tuple[str, str]]

    def sh(self, begins: str, code: int = 0) -> str:
        """Type the next block, which is for the shell; what it says."""
        ran = self.shell(self._next("sh", begins))
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    def shell(self, text: str) -> "subprocess.CompletedProcess[str]":
        tools = wheel_tools()
        assert tools is not None
        programs = self.stage.folder / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "countersign").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m countersign "$@"\n')
        (programs / "countersign").chmod(0o755)
        path = f"{programs}:{tools.bin}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        return subprocess.run(
            ["bash", "-eu", "-c", text],
            cwd=self.stage.repository,
            env={**self.stage.environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def sql(self, begins: str, example: Mapping[str, str] = MappingProxyType({})) -> list[tuple[object, ...]]:
        """Ask the target what the next block says, with these in place of what the page has for an example."""
        text = self._next("sql", begins)
        for old, new in example.items():
            assert old in text
            text = text.replace(old, new)
        return self.stage.sql("prod", text)

    def _next(self, language: str, begins: str) -> str:
        found, text = self.blocks.pop(0)
        assert (found, text.startswith(begins)) == (language, True), text
        return text


@pytest.fixture
def page(make_stage: Make) -> Page:
    stage = make_stage(empty=True, prod=rules(1))
    stage.migration("20260201000000_orders.sql", "create table public.orders (id int primary key);\n")
    stage.sql("prod", "create table public.orders (id int primary key)")
    stage.cli("plan", "prod")
    stage.start_bot()
    stage.cli("repair", "prod", "applied", "20260201000000")
    card_of(stage, "R-1", "[Approve for prod]")
    approve(stage, BEN)
    wait_for(lambda: stage.events("succeeded"))
    stage.stop_bot()
    stage.migration(NOTES, "create table public.notes (id int primary key, body text);\nselect 1 as twice;\n")
    stage.migration(FIND, "create index concurrently notes_body on public.notes (body);\nvacuum public.notes;\n")
    return Page(stage, re.findall(r"```(sh|sql)\n(.*?)\n```", PAGE, re.DOTALL))


def test_every_line_of_the_page_does_what_it_says(page: Page) -> None:
    stage = page.stage

    # 1 to 3: look, keep a copy
    assert "prod" in page.sh("countersign status prod")
    assert page.sql("select a.pid") == []
    page.sh("pg_dump")
    assert (stage.repository / "before.dump").stat().st_size > 1000
    assert page.sql("select version, name") == [("20260201000000", "orders")]

    # 4 and 5: run both files
    said = page.sh('psql "$SHOP_PROD_DATABASE_URL"')
    assert "guarded" in said
    assert stage.sql("prod", "select to_regclass('public.notes') is not null") == [(True,)]
    page.sh('psql "$SHOP_PROD_DATABASE_URL"')
    assert page.sql("select indexrelid") == []
    assert stage.sql("prod", "select indisvalid from pg_index where indexrelid = 'notes_body'::regclass") == [(True,)]

    # 6: somebody is in the way
    with session(stage, "prod", "psql") as holder, session(stage, "prod", "app") as waiting:
        holder.execute("begin")
        holder.execute("lock table public.notes")
        waiting.pgconn.send_query(b"select * from public.notes")
        pid = holder.info.backend_pid
        asked = list(page.blocks)
        wait_for(lambda: Page(stage, list(asked)).sql("select waiting.pid"))
        [(waits, blocks, *_)] = page.sql("select waiting.pid")
        assert (waits, blocks) == (waiting.info.backend_pid, pid)
        [(since,)] = stage.sql("prod", f"select backend_start::text from pg_stat_activity where pid = {pid}")
        example = {"4711": str(pid), "2026-03-01 09:00:00+00": str(since)}
        assert page.sql("select pg_terminate_backend", example) == [(True,)]

    # 7: the bot is back
    stage.start_bot()
    said = page.sh("countersign record prod")
    assert "R-2" in said
    shown = card_of(stage, "R-2", "[Approve for prod]")
    assert f"Enters that Dee Novak ran {NOTES}, {FIND} by hand" in shown
    approve(stage, BEN, "R-2")
    wait_for(lambda: [one for one in stage.events("succeeded") if one.request == "R-2"], 30)
    said = page.sh("countersign plan prod\ncountersign drift prod")
    assert "shop/prod: nothing to do" in said
    assert "shop/prod is what its 3 migrations make" in said
    assert page.blocks == []
    in_order(stage)


def test_versions_may_be_named_by_their_files_too(page: Page) -> None:
    stage = page.stage
    for block in [text for language, text in page.blocks if language == "sh" and text.startswith("psql")]:
        assert page.shell(block).returncode == 0
    ran = stage.cli(
        "record", "prod", NOTES, FIND, "--by", "Dee Novak", "--because", "checkout was down", "--json", seconds=120
    )
    assert ran.json["status"] == "waiting"
    [*_, asked] = stage.events("requested")
    assert "table public.notes" in str((asked.data or {})["plan"]["proven"])


def test_while_somebody_holds_the_target_the_page_s_commands_do_nothing(page: Page) -> None:
    with session(page.stage, "prod") as holder:
        holder.execute("select pg_advisory_lock(%s)", (GUARD_KEY,))
        assert (
            len(page.stage.sql("prod", next(text for _, text in page.blocks if text.startswith("select a.pid")))) == 1
        )
        for block in [text for language, text in page.blocks if language == "sh" and text.startswith("psql")]:
            ran = page.shell(block)
            assert ran.returncode != 0
            assert "division by zero" in ran.stderr
    assert page.stage.sql("prod", "select to_regclass('public.notes')") == [(None,)]


def test_the_lock_of_the_page_is_the_one_that_keeps_runs_out() -> None:
    assert str(GUARD_KEY) in PAGE
    assert str(MIGRATING_KEY) in PAGE
