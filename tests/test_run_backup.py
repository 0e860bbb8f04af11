"""The backup of a run: what the card says of the last one, what the thread says of this one, and no statement without."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from run_support import approve
from run_support import ask
from run_support import card
from run_support import cards
from run_support import disagreements
from run_support import ended
from run_support import request_of
from run_support import use_tools
from run_support import versions
from run_support import wait_for

from sandbox.stage import Stage

MakeStage = Callable[..., Stage]

APPLIED_BEFORE = 14
BACKUP_FOLDER = "var/backups"


def prod(level: str) -> str:
    return f'approvals = 1\napprovers = ["@database-owners"]\nbackup = "{level}"\n'


def thread(stage: Stage) -> str:
    """All that stands below the cards."""
    return "\n".join(stage.slack.render(one) for one in stage.slack.channel("deploys").messages if one.thread_ts)


def test_the_card_tells_of_the_last_backup_and_the_thread_of_this_one(make_stage: MakeStage) -> None:
    stage = make_stage(prod=prod("identical"))
    stage.start_bot()
    ask(stage)
    before = card(stage, "Approve for prod")
    assert "Last backup: none known; a new one is taken and identical first" in before
    approve(stage)
    assert ended(stage).status.value == "succeeded"
    card(stage, "R-1 · shop/prod: done")

    [event] = stage.events("backup_proven")
    kinds = [one.kind for one in stage.events()]
    assert kinds.index("backup_proven") < kinds.index("statement_sent")
    proof = (event.data or {})["proof"]
    archive = Path(proof["path"])
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == proof["sha256"]
    assert (archive.stat().st_mode & 0o777, archive.stat().st_size) == (0o600, proof["bytes"])
    wait_for(lambda: "R-1 is done" in thread(stage))
    said = thread(stage)
    assert re.search(r"identical and proven: [\d.]+ kB, \d+ tables, \d+ rows, [\d.]+ s, sha256", said)
    assert proof["sha256"][:16] in said
    assert "Not in any dump, so not in this backup" in said
    assert "Roles, their passwords, settings and memberships are outside the dump." in said

    stage.migration("20261201000000_more.sql", "select 1;")
    ask(stage, 2)
    again = card(stage, "R-2 · shop/prod")
    assert re.search(r"Last backup: .*UTC, identical.*; a new one is taken and identical first", again)


def test_a_policy_without_a_backup_says_so_on_the_card(make_stage: MakeStage) -> None:
    stage = make_stage(prod=prod("none"))
    stage.start_bot()
    ask(stage)
    assert "none will be taken, as the policy says" in card(stage, "Approve for prod")
    approve(stage)
    assert ended(stage).status.value == "succeeded"
    assert "backup: none, as the policy says" in card(stage, ": done")
    assert stage.events("backup_proven") == []


@pytest.mark.parametrize(
    ("level", "scripts", "words"),
    [
        pytest.param(
            "restored",
            {
                "pg_dump": '[ "$1" = --version ] || { echo "pg_dump: error: permission denied for table x" >&2; exit 1; }'
            },
            "pg_dump failed: permission denied for table x",
            id="dump fails",
        ),
        pytest.param(
            "intact",
            {"pg_restore": 'case "$1" in --file*) echo "pg_restore: error: corrupt block" >&2; exit 1;; esac'},
            "cannot be read to its end: corrupt block",
            id="dump cannot be read",
        ),
        pytest.param(
            "restored",
            {"pg_restore": 'case "$1" in --list) exit 0;; esac'},
            "The backup holds no rows of",
            id="dump lacks tables",
        ),
    ],
)
def test_what_is_not_proven_stops_the_run_before_any_statement(
    make_stage: MakeStage, tmp_path: Path, level: str, scripts: dict[str, str], words: str
) -> None:
    stage = make_stage(prod=prod(level))
    use_tools(stage, tmp_path / "bin", **scripts)
    stage.start_bot()
    ask(stage)
    approve(stage)
    request = ended(stage)
    assert (request.status.value, request.ending["reason"]) == ("failed", "backup_not_proven")
    assert words in card(stage, "R-1 · shop/prod: failed, nothing of it remains")
    assert stage.events("statement_sent", "backup_proven") == []
    assert len(versions(stage, "prod")) == APPLIED_BEFORE
    assert disagreements(stage, "prod") == []


def test_a_login_that_may_not_read_a_table_stops_the_run(make_stage: MakeStage) -> None:
    """What a dump cannot hold is not found out at restoring it."""
    stage = make_stage(prod=prod("restored"))
    login = f"deployer_{stage.databases['prod']}"
    database = stage.databases["prod"]
    with psycopg.connect(stage.postgres.url(database, "supabase_admin"), autocommit=True) as admin:
        admin.execute(f"create role {login} login password '{stage.postgres.password}'".encode())
        admin.execute(f"grant all on schema public, supabase_migrations to {login}".encode())
        admin.execute(f"grant all on supabase_migrations.schema_migrations to {login}".encode())
        try:
            stage.environment["SHOP_PROD_DATABASE_URL"] = stage.postgres.url(database, login)
            stage.start_bot()
            ask(stage)
            approve(stage)
            request = ended(stage)
            assert (request.status.value, request.ending.get("reason")) == ("failed", "target_refused"), request
            assert f"{login} may not read" in card(stage, "failed, nothing of it remains")
            assert disagreements(stage, "prod") == []
            stage.stop_bot()
        finally:
            admin.execute(f"drop owned by {login}; drop role {login}".encode())


def test_no_room_for_the_backup_stops_the_run(make_stage: MakeStage) -> None:
    stage = make_stage(prod=prod("intact"))
    folder = stage.folder / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        with stage.config.open("a") as file:
            file.write(f'\n[backup]\npath = "{folder}"\n')
        stage.start_bot()
        ask(stage)
        approve(stage)
        request = ended(stage)
        stage.stop_bot()
        assert (request.status.value, request.ending["reason"]) == ("failed", "backup_not_proven")
        assert "MB free, and it takes up to" in request.ending["message"]
        assert os.listdir(folder) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert len(versions(stage, "prod")) == APPLIED_BEFORE


def test_show_has_the_whole_proof(make_stage: MakeStage) -> None:
    stage = make_stage()
    config = stage.config.read_text()
    stage.config.write_text(config.replace('approvals = 0\nbackup = "none"', 'approvals = 0\nbackup = "intact"'))
    stage.migration("20261201000000_more.sql", "create table more (i int);")
    pushed = stage.cli("push", "dev", "--json").json
    assert pushed["status"] == "succeeded"
    shown = stage.cli("show", "R-1", "--json").json
    assert shown["backup"]["sha256"] == (request_of(stage).proof or {})["sha256"]
    assert shown["backup"]["proven"] is True
    assert "password" not in json.dumps(shown["backup"]).replace("Roles, their passwords", "")
    assert cards(stage) == ""
