"""The words about backups: taken and proven on request, listed, read again, tried on a throw-away server, and put away."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest
from people_talk import ANA
from people_talk import GUS
from people_talk import small
from people_talk import told
from run_support import at_work
from run_support import pushing
from run_support import session
from run_support import slow
from run_support import wait_for

from audit import Draft
from audit import Log
from ops.backups import all_backups
from ops.backups import find_backup
from ops.backups import remove_old_backups
from ops.errors import OpsError
from ops.layer import Ops
from ops.settings import load_settings
from sandbox.stage import Stage

SEALED_FOR = pyrage.x25519.Identity.generate()

Make = Callable[..., Stage]


@pytest.fixture
def stage(make_stage: Make) -> Stage:
    """A target with rows in it; the bot is not running."""
    found = make_stage(empty=True)
    with session(found, "dev") as connection:
        connection.execute("create table public.notes (id int primary key, words text)")
        connection.execute("insert into public.notes select n, 'note ' || n from generate_series(1, 200) n")
    return found


def configure(stage: Stage, lines: str) -> None:
    with stage.config.open("a") as file:
        file.write(f"\n[backup]\n{lines}\n")


def bend(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 4]) + whole[-39:])


def test_a_backup_is_taken_listed_read_again_and_tried(stage: Stage) -> None:
    taken = stage.cli("backup", "dev", "--level", "identical", "--json")
    assert taken.code == 0, taken.err
    backup = taken.json["backup"]
    assert (backup["target"], backup["level"], backup["request"], backup["state"]) == (
        "shop/dev",
        "identical",
        None,
        "there",
    )
    started, proven = stage.events("backup_started", "backup_proven")
    assert (started.stream, proven.stream) == ("target:shop/dev", "target:shop/dev")
    assert proven.actor.startswith("os:")
    path = Path(backup["proof"]["path"])
    assert path.is_file()

    listed = stage.cli("backups", "dev", "--check", "--json").json
    assert [(one["backup"], one["state"]) for one in listed["backups"]] == [(backup["backup"], "as it was taken")]
    shown = stage.cli("backups")
    assert f"{backup['backup']} shop/dev" in shown.out + shown.err

    tried = stage.cli("restore", backup["backup"], "--to", "scratch", "--json").json
    assert (tried["identical"], tried["problems"]) == (True, [])
    assert {"table": "public.notes", "rows": 200, "rows_taken": 200} in tried["tables"]
    assert "restores as it was taken" in "".join(_said(stage.cli("restore", backup["backup"][:10], "--to", "scratch")))
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(
        [path.name, f"{path.name}.about", f"{path.name}.sha256"]
    )

    bend(path)
    checked = stage.cli("backups", "--check", "--json")
    assert (checked.code, checked.json["reason"]) == (1, "backup_damaged")
    assert "its checksum is another" in checked.json["backups"][0]["problems"][0]
    refused = stage.cli("restore", backup["backup"], "--to", "scratch", "--json")
    assert (refused.code, refused.json["reason"]) == (1, "backup_damaged")
    path.unlink()
    assert stage.cli("backups", "--json").json["backups"][0]["state"] == "missing"


def test_the_backup_of_a_run_goes_by_its_request(stage: Stage) -> None:
    config = stage.config.read_text()
    stage.config.write_text(config.replace('approvals = 0\nbackup = "none"', 'approvals = 0\nbackup = "intact"'))
    stage.migration("20261201000000_more.sql", "create table more (i int);")
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    tried = stage.cli("restore", "r-1", "--to", "scratch", "--json").json
    assert (tried["backup"]["request"], tried["problems"], tried["identical"]) == ("R-1", [], False)
    assert {"table": "public.notes", "rows": 200, "rows_taken": 200} in tried["tables"]
    for word, reason in (("R-2", "unknown_request"), ("fefefefefefe", "unknown_backup"), ("newest", "unknown_backup")):
        ran = stage.cli("restore", word, "--to", "scratch", "--json")
        assert (ran.code, ran.json["reason"]) == (2, reason)
    elsewhere = stage.cli("restore", "R-1", "--to", "prod", "--json")
    assert (elsewhere.code, elsewhere.json["reason"]) == (2, "bad_usage")
    for words, why in (
        (("prod", "--to", "yesterday"), "'yesterday' is no moment that everybody reads alike."),
        (("shop/prod", "--to", "2026-11-23"), "'2026-11-23' is no moment that everybody reads alike."),
        (("prod", "--to", "scratch"), "prod is an environment and no backup."),
        (("prod", "--to", "dev"), "prod is an environment and no backup."),
        (("prod",), "Say one thing to go back to"),
    ):
        refused = stage.cli("restore", *words, "--json")
        assert (refused.code, refused.json["reason"]) == (2, "bad_usage"), words
        assert why in refused.json["message"], words
    assert stage.cli("restore", "R-1", "--json").json["reason"] == "environment_needed"


def test_a_target_goes_back_to_its_backup_as_a_request(stage: Stage) -> None:
    """What was written since is counted before, and is gone after; what runs it is a request like any other."""
    configure(stage, f'encrypt = "{SEALED_FOR.to_public()}"\nidentity = "file:key"')
    (stage.folder / "key").write_text(str(SEALED_FOR))
    stage.migration("20261201000000_more.sql", "create table more (i int);")
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    assert stage.cli("backup", "dev", "--level", "identical", "--json").code == 0
    [event] = stage.events("backup_proven")
    number = str((event.data or {})["proof"]["sha256"])[:12]
    with session(stage, "dev") as connection:
        connection.execute("insert into public.notes select n, 'since' from generate_series(1001, 1011) n")
        connection.execute("update public.notes set words = 'other' where id <= 3")

    ran = stage.cli("restore", number, "--to", "dev", "--json")

    assert (ran.code, ran.json["status"], ran.json.get("kind")) == (0, "succeeded", "restore"), ran.out
    plan = (stage.events("requested")[1].data or {})["plan"]
    assert any("11" in loss for loss in plan["loses"]), plan["loses"]
    assert stage.sql("dev", "select count(*), count(*) filter (where words like 'note %') from notes") == [(200, 200)]


def test_a_sealed_backup_is_opened_with_the_key_alone(stage: Stage) -> None:
    key, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    configure(stage, f'encrypt = "{key.to_public()}"\nidentity = "file:key"')
    backup = stage.cli("backup", "dev", "--level", "restored", "--json").json["backup"]
    path = Path(backup["proof"]["path"])
    assert path.name.endswith(".dump.age")
    assert path.read_bytes().startswith(b"age-encryption.org/v1")
    assert backup["proof"]["sealed_for"] == [str(key.to_public())]
    assert str(key) not in json.dumps([dict(event.data or {}) for event in stage.events()])
    assert stage.cli("backups", "--check", "--json").code == 0

    without = stage.cli("restore", backup["backup"], "--to", "scratch", "--json")
    assert (without.code, without.json["reason"]) == (2, "bad_config")
    assert "cannot be read" in without.json["message"]
    (stage.folder / "key").write_text(f"{other}\n")
    assert (
        "sealed for another key" in stage.cli("restore", backup["backup"], "--to", "scratch", "--json").json["message"]
    )
    (stage.folder / "key").write_text(f"# a comment\n{key}\n")
    tried = stage.cli("restore", backup["backup"], "--to", "scratch", "--json").json
    assert (tried["ok"], tried["problems"]) == (True, [])
    assert list(path.parent.glob(".at-work-*")) == []
    bend(path)
    refused = stage.cli("restore", backup["backup"], "--to", "scratch", "--json")
    assert (refused.code, refused.json["reason"]) == (1, "backup_damaged")


def test_no_backup_is_begun_while_a_run_is_at_work(stage: Stage) -> None:
    stage.migration("20261201000000_slow.sql", f"create table ran (name text);\n{slow(4)}")
    with pushing(stage) as process:
        wait_for(at_work(stage, "dev", "pg_sleep"))
        ran = stage.cli("backup", "dev", "--json")
        assert (ran.code, ran.json["reason"]) == (5, "target_busy")
        assert "R-1 is running on shop/dev" in ran.json["message"]
        assert process.wait(30) == 0
    assert stage.events("backup_started") == []
    assert stage.cli("backup", "dev", "--level", "intact", "--json").code == 0


def test_in_slack_members_look_and_requesters_take(make_stage: Make) -> None:
    stage = small(make_stage)
    assert "No backups yet" in told(stage.slack.say(ANA, "/migrate backups"))
    taken = told(stage.slack.say(ANA, "/migrate backup prod --level intact"))
    assert "is taken and proven" in taken
    assert "Roles, their passwords, settings and memberships are outside the dump." in taken
    [event] = stage.events("backup_proven")
    assert event.actor.endswith("/U0ANA")
    listed = told(stage.slack.say(ANA, "/migrate backups prod --check"))
    assert "as it was taken" in listed
    assert "1 backup of shop/prod" in listed
    guest = told(stage.slack.say(GUS, "/migrate backup prod"))
    assert "Not allowed" in guest
    assert len(stage.events("backup_started")) == 1
    number = str((event.data or {})["proof"]["sha256"])[:12]
    assert "restores as it was taken" in told(stage.slack.say(ANA, f"/migrate restore {number} --to scratch"))


def _said(ran: object) -> tuple[str, str]:
    return getattr(ran, "out", ""), getattr(ran, "err", "")


# --- keeping ---------------------------------------------------------------------------------------------------------


class Shelf:
    """A log with backups of some ages and their files, and the ops layer above it at a moment that tests choose."""

    def __init__(self, stage: Stage, keep: str) -> None:
        configure(stage, f'keep = "{keep}"')
        self.settings = load_settings(stage.config)
        self.folder = self.settings.path(self.settings.backup.path)
        self.folder.mkdir(parents=True, mode=0o700)
        self.log = Log.open(stage.log_path)
        self.ops = Ops(self.settings, self.log)
        self.now = self.ops.now()

    def put(
        self, name: str, days: float, environment: str = "dev", folder: Path | None = None, level: str = "intact"
    ) -> Path:
        path = (folder or self.folder) / f"{name}.dump"
        for one in (path, path.with_name(f"{path.name}.sha256"), path.with_name(f"{path.name}.about")):
            one.write_text(name)
        taken_at = (self.now - timedelta(days=days)).isoformat()
        proof = {"sha256": name.encode().hex().ljust(64, "0"), "path": str(path), "bytes": len(name),
                 "taken_at": taken_at, "level": level, "server_version": 18}  # fmt: skip
        draft = Draft(kind="backup_proven", actor="os:host/ana", stream=f"target:shop/{environment}",
                      data={"proof": proof}, project="shop", environment=environment)  # fmt: skip
        self.log.append([draft])
        return path


def test_old_backups_are_removed_but_never_the_newest(stage: Stage, tmp_path: Path) -> None:
    shelf = Shelf(stage, "30d")
    old, older = shelf.put("older", 90), shelf.put("old", 31)
    elsewhere = shelf.put("elsewhere", 40, folder=tmp_path)
    young, newest = shelf.put("young", 29), shelf.put("newest", 28)
    alone = shelf.put("alone", 300, environment="prod")

    assert {one.path for one in remove_old_backups(shelf.ops)} == {old, older}
    assert [path.exists() for path in (old, older, elsewhere, young, newest, alone)] == [False, False, *[True] * 4]
    assert sorted(os.listdir(shelf.folder)) == sorted(
        f"{path.name}{end}" for path in (young, newest, alone) for end in ("", ".about", ".sha256")
    )
    assert [event.stream for event in stage.events("backup_removed")] == ["target:shop/dev"] * 2
    assert [one.is_removed for one in all_backups(shelf.ops.view, "shop", "dev")] == [False, False, False, True, True]
    assert remove_old_backups(shelf.ops) == []
    shelf.log.close()


def test_the_newest_restored_backup_stays_when_newer_ones_were_only_read_or_are_gone(stage: Stage) -> None:
    shelf = Shelf(stage, "30d")
    older = shelf.put("older", 90, level="identical")
    restored = shelf.put("restored", 80, level="restored")
    lost = shelf.put("lost", 70, level="restored")
    read, newest = shelf.put("read", 60), shelf.put("newest", 50)
    lost.unlink()
    newest.unlink()

    assert {one.path for one in remove_old_backups(shelf.ops)} == {older, lost}
    assert [path.exists() for path in (older, restored, read)] == [False, True, True]
    shelf.log.close()


def test_what_was_written_down_and_not_removed_is_removed_next_time(stage: Stage) -> None:
    """A process killed between the two leaves a file that the log says is gone."""
    shelf = Shelf(stage, "1d")
    old = shelf.put("old", 5)
    shelf.put("newest", 0)
    sha256 = find_backup(shelf.ops.view, b"old".hex()).sha256
    data = {"sha256": sha256, "path": str(old), "because": "older than keep = 1d"}
    shelf.log.append([Draft(kind="backup_removed", actor="system:backups", stream="target:shop/dev", data=data)])
    assert remove_old_backups(shelf.ops) == []
    assert not old.exists()
    assert len(stage.events("backup_removed")) == 1
    shelf.log.close()


def test_a_new_backup_has_the_old_ones_and_what_killed_processes_left_removed(stage: Stage) -> None:
    shelf = Shelf(stage, "1d")
    old = shelf.put("old", 5)
    left = shelf.folder / ".at-work-killed"
    left.mkdir()
    (left / "owner").write_text('{"pid": 1, "started": "another"}')
    shelf.log.close()
    assert stage.cli("backup", "dev", "--level", "intact", "--json").code == 0
    assert not old.exists()
    assert not left.exists()
    told_of = stage.cli("backups", "dev", "--json").json
    assert (len(told_of["backups"]), told_of["removed"]) == (1, 1)
    assert datetime.fromisoformat(told_of["backups"][0]["taken_at"]) > shelf.now


def test_letters_that_fit_several_backups_are_not_guessed(stage: Stage) -> None:
    shelf = Shelf(stage, "1d")
    shelf.put("same one", 0)
    shelf.put("same two", 0)
    with pytest.raises(OpsError, match="Several backups begin with 73616d65"):
        find_backup(shelf.ops.view, b"same".hex())
    shelf.log.close()
