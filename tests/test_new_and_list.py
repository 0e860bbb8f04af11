"""`new NAME` makes a file whose version nobody has; `list` says where every migration is."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from commands.list_local import listed
from commands.local_files import migrations_folder
from commands.local_files import next_version
from ops.migrations import read_migration
from sandbox.stage import Stage
from sandbox.stage import git

NOW = datetime(2026, 11, 23, 10, 15, 0, tzinfo=UTC)
FREE = "20261123101500"

VERSIONS = {
    "nobody has one": ([], FREE, None),
    "older ones": (["20200101000000", "0001"], FREE, None),
    "somebody in this second": ([FREE], "20261123101501", None),
    "somebody ahead of the clock": (["20261231235959"], "20270101000000", None),
    "one that is no timestamp and sorts behind": (["99999999999999"], FREE, "99999999999999"),
    "one that is no date": (["20261399000000"], FREE, "20261399000000"),
}


@pytest.mark.parametrize("case", VERSIONS)
def test_the_version_is_free_and_sorts_behind_every_timestamp(case: str) -> None:
    taken, version, behind = VERSIONS[case]
    assert next_version(NOW, taken) == (version, behind)


def test_a_project_is_found_from_inside_it_and_not_beyond_its_repository(tmp_path: Path) -> None:
    (tmp_path / "supabase").mkdir()
    inner = tmp_path / "app" / "deep"
    inner.mkdir(parents=True)
    assert migrations_folder(inner) == tmp_path / "supabase" / "migrations"
    (tmp_path / "app" / ".git").mkdir()
    assert migrations_folder(inner) is None


def listing(applied: Any, branch: Any) -> dict[str, Any]:
    return {"target": "shop/dev", "branch": "main", "is_known": True, "applied": applied, "branch_files": branch}


def row(*texts: str) -> dict[str, object]:
    sha256 = _hash(*texts)
    return {"name": "x", "sha256": sha256, "stored": len(texts)}


def _hash(*texts: str) -> str:
    from ops.history import statements_sha256

    return statements_sha256(texts)


TWO = "select 1;\nselect 2;\n"
STATES = {
    "applied": ({"1": row("select 1", "select 2")}, True, True),
    "edited": ({"1": row("select 1", "select 3")}, True, True),
    "pending": ({}, True, True),
    "not on main": ({}, False, True),
    "applied, no file": ({"1": row("select 1")}, False, False),
    "applied, as one text": ({"1": row("select 1; select 2")}, True, True),
    "applied, text unknown": ({"1": {"name": "x", "sha256": None, "stored": None}}, True, True),
}


@pytest.mark.parametrize("state", STATES)
def test_each_version_says_how_it_stands(state: str) -> None:
    applied, on_branch, is_local = STATES[state]
    branch = {"1": {"name": "x", "sha256": _hash("select 1", "select 2")}} if on_branch else {}
    files = {"1": read_migration("1_x.sql", "1", "x", TWO.encode())} if is_local else {}
    [told] = listed([listing(applied, branch)], files)
    assert (told["environments"]["shop/dev"], told["local"]) == (state, is_local)


def test_files_that_are_made_at_once_never_collide_and_are_listed(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_one.sql", "create table public.one (id int);\n")
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    git(stage.repository, "checkout", "-q", "-b", "other")
    ahead = datetime.now(UTC).year + 1
    (stage.repository / f"supabase/migrations/{ahead}0101000000_ahead.sql").write_text("select 1;")
    git(stage.repository, "add", "--all")
    git(stage.repository, "-c", "user.name=Mia", "-c", "user.email=mia@acme.example", "commit", "-qm", "Ahead")
    git(stage.repository, "checkout", "-q", "main")

    def make(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "countersign", "new", name, "--from-stdin", "--json"]
        place = stage.repository
        text = f"select '{name}';\n"
        return subprocess.run(
            command,
            cwd=place,
            env=stage.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    with ThreadPoolExecutor(3) as beside:
        made = list(beside.map(make, ["red", "green", "blue"]))
    assert [one.returncode for one in made] == [0, 0, 0], [one.stderr for one in made]
    names = sorted(os.listdir(stage.repository / "supabase/migrations"))
    assert [name.partition("_")[0] for name in names] == [
        "20260101000000",
        *(f"{ahead}010100000{n}" for n in (1, 2, 3)),
    ]
    assert sorted(name.partition("_")[2] for name in names[1:]) == ["blue.sql", "green.sql", "red.sql"]
    for name in names[1:]:
        text = (stage.repository / "supabase/migrations" / name).read_text()
        assert text == f"select '{name.partition('_')[2].removesuffix('.sql')}';\n"

    (stage.repository / "supabase/migrations/20260101000000_one.sql").write_text("create table public.two (id int);\n")
    ran = subprocess.run(
        [sys.executable, "-m", "countersign", "list"],
        cwd=stage.repository,
        env={**stage.environment, "SHOP_PROD_DATABASE_URL": "postgresql://x:y@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ["20260101000000_one", "yes", "edited", "?"] in lines, ran.stdout
    assert [f"{ahead}0101000001", "yes"] == [lines[3][0].partition("_")[0], lines[3][1]] or ran.stdout
    assert "shop/prod: " in ran.stdout

    wrong = stage.cli("new", "../evil", "--json")
    assert (wrong.code, wrong.json["reason"]) == (2, "bad_usage")
