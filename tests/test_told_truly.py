"""Sentences that say where something stands, what it takes and what was done: the same everywhere, and true."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from apply_helpers import fresh_target
from people_talk import rules
from people_talk import small
from processes import terminal
from test_rehearsal_trace import Place
from test_rehearsal_trace import run
from test_rehearsal_trace import traced

from ops.hazards import find_hazards
from ops.migrations import read_migration
from ops.rehearsal.files import run_files
from ops.scratch import Limits
from ops.sql_errors import describe
from sandbox.stage import Stage

ROOT = Path(__file__).parent.parent
COMMENTED = "-- first\n/* a comment of\n   several lines */\ndrop table public.orders;\nselect 1;\n"


def test_hazards_rehearsals_and_errors_count_a_line_from_the_first_word() -> None:
    migration = read_migration("20260101000000_x.sql", "20260101000000", "x", COMMENTED.encode())
    assert [one.word_line for one in migration.statements] == [4, 5]
    assert [one.line for one in find_hazards([migration]) if one.rule == "drop-table"] == [4]
    assert describe(psycopg.errors.InsufficientPrivilege("no"), migration, 0).line == 4
    with fresh_target() as target:
        target.run("create table public.orders (id int);")
        place = Place(target)
        (file,) = run(place, COMMENTED)
    assert [(one.line, [drop.name for drop in one.drops]) for one in file.statements] == [(4, ["public.orders"])]


def test_an_extension_that_the_target_lacks_is_no_fault_of_the_file() -> None:
    with fresh_target() as target:
        place = Place(target)
        file = read_migration("20260101000000_x.sql", "20260101000000", "x", b"create extension vector;\n")
        with traced(place) as tracer:
            (found,) = run_files(place, tracer, [file], limits=Limits(60, 30), refused_extensions=frozenset({"vector"}))
    assert found.error is not None
    assert found.error["message"] == 'extension "vector" is not available on the target'
    assert found.error["to_mend"] == "Have the target's server offer vector first, or leave it out."


def test_a_plan_says_all_that_it_needs_and_the_sql_that_does_nothing(make_stage: Callable[..., Stage]) -> None:
    """One approval by the environment, two because of a class: two."""
    stage = small(make_stage, rules(1, "hazards = { data_loss = { approvals = 2 } }"), start=False)
    stage.migration("20260101000002_drop.sql", "drop table if exists public.customers;\n")
    stage.migration("20260101000003_later.sql", "-- nothing yet\n")
    said = stage.cli("plan", "prod").out
    assert "  Needs: 2 approvals by @database-owners\n" in said
    assert "  data_loss needs: 2 approvals\n" in said
    assert "20260101000003_later.sql: there is nothing in it but comments" in said
    assert "[safe way]" in said


def test_a_plan_that_fails_on_a_copy_says_so_first_where_it_may_be_asked_for(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, rules(1, 'rehearsal = "shown"'), start=False)
    stage.migration("20260101000002_wrong.sql", "alter table public.missing add column x int;\n")
    said = stage.cli("plan", "prod").out
    assert said.startswith("Plan for shop/prod: fails on a copy, 2 migrations pending")
    assert "it will probably fail" in " ".join(said.split())
    kept = json.loads(stage.cli("plan", "prod", "--markdown", "--json").out)
    assert kept["markdown"].startswith("## Plan for shop/prod: fails on a copy, 2 migrations pending\n")


def test_ctrl_c_on_a_plan_says_that_nothing_was_asked_for(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, rules(1, 'rehearsal = "required"'), start=False)
    stage.migration("20260101000002_slow.sql", "select pg_sleep(30);\n")
    plan = terminal(stage, "plan", "prod")
    time.sleep(3)

    plan.send_signal(signal.SIGINT)

    _, told = plan.communicate(timeout=20)
    assert plan.returncode == 130
    assert "Nothing was asked for" in told
    assert "stands in the log" not in told


@pytest.mark.parametrize("words", [("help", "drift"), ("drift", "--help")], ids=["help drift", "drift --help"])
def test_the_page_of_a_word_needs_no_configuration(tmp_path: Path, words: tuple[str, ...]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "countersign", *words]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("drift: ")


def test_the_api_is_told_to_read_anew_only_what_has_changed(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(prod=rules(1, 'rehearsal = "required"'), empty=True)
    stage.sql("prod", "create table public.kinds (id int);")
    is_new = not stage.sql("prod", "select 1 from pg_roles where rolname = 'authenticator'")
    if is_new:
        stage.sql("prod", "create role authenticator")
    try:
        told = []
        for number, sql in enumerate(
            ("insert into public.kinds values (1);\n", "create table public.more (id int);\n")
        ):
            stage.migration(f"2026010100000{number}_x.sql", sql)
            unseen = json.loads(stage.cli("plan", "prod", "--json").out)["rehearsal"]["unseen"]
            told.append(any("The API reads the schema anew" in one for one in unseen))
    finally:
        if is_new:
            stage.sql("prod", "drop role authenticator")
    assert told == [False, True]
