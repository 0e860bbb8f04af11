"""Evidence about a request: one zip that a stranger can check with nothing but Python, and that hostile text cannot break."""

import ast
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from evidence_support import HOSTILE
from evidence_support import Text
from evidence_support import is_harmless
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import approve
from people_talk import ask
from people_talk import told
from run_support import ended

from audit import Query
from audit import Reader
from audit import Roots
from audit import inclusion_paths
from audit.tree import holds_inclusion
from audit.tree import range_root_of
from sandbox.stage import PROD
from sandbox.stage import Stage

TYPED = HOSTILE.replace('"', "").replace("'", "")
SECRET = "ghp_0123456789abcdefABCDEF0123456789abcd"
OLDEST = Path(os.environ.get("COUNTERSIGN_TEST_OLDEST_PYTHON", sys.executable))


@dataclass
class World:
    """A stage on which R-1 ran and R-2 was rejected with hostile words, and the evidence of both, unpacked."""

    stage: Stage
    key: str
    zips: dict[str, bytes]
    folders: dict[str, Path]

    def unpacked_again(self, request: str, where: Path) -> Path:
        """A copy that a test may change."""
        return Path(shutil.copytree(self.folders[request], where / request))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Stage(prod=PROD) as stage:
        settings = stage.config.read_text()
        signed = 'path = "var/audit.db"\nkey = "keys/audit.key"\nauditors = ["U0DEE"]'
        stage.config.write_text(settings.replace('path = "var/audit.db"', signed))
        key = stage.cli("audit", "key", "--name", "acme", "--json").json["key"]
        stage.start_bot()
        ask(stage)
        assert "recorded" in approve(stage, BEN)
        ended(stage)
        stage.migration("20270101000001_say.sql", "create table public.said (id int);\n")
        ask(stage)
        assert "R-2" in told(stage.slack.say(BEN, f"/migrate reject R-2 {SECRET} {TYPED}"))
        zips, folders = {}, {}
        for request in ("R-1", "R-2"):
            ran = stage.cli("evidence", request, "--json")
            assert ran.code == 0, ran.err
            file = stage.folder / f"{request}-evidence.zip"
            zips[request] = file.read_bytes()
            where = tmp_path_factory.mktemp(request)
            zipfile.ZipFile(file).extractall(where)
            folders[request] = where / f"{request}-evidence"
        yield World(stage, key, zips, folders)


def checked(folder: Path, *arguments: str, python: Path = OLDEST) -> tuple[int, str]:
    """What verify.py says, in an empty environment, without a package in reach."""
    ran = subprocess.run(
        [str(python), "-I", "-S", "verify.py", *arguments],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ran.stderr, ran.stderr
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("request_", ["R-1", "R-2"])
def test_a_stranger_checks_it_with_python_alone(world: World, request_: str) -> None:
    code, said = checked(world.folders[request_], "--key", world.key)

    assert code == 0, said
    assert said.startswith("It holds: ")
    assert "signed by acme" in said


def test_the_verifier_is_readable_by_older_pythons_and_needs_no_package(world: World) -> None:
    tree = ast.parse((world.folders["R-1"] / "verify.py").read_text(), feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


def test_it_has_all_parts_and_the_plan_that_was_approved(world: World) -> None:
    folder = world.folders["R-1"]
    held = {path.name for path in folder.iterdir()}
    assert held == {
        *("README.txt", "checkpoint.txt", "document.txt", "events.csv", "events.jsonl", "key.txt", "manifest.json"),
        *("manifest.sig", "plan.json", "proofs.json", "report.html", "report.pdf", "request.json", "verify.py"),
    }
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text().splitlines()]
    asked = {
        "configured",
        "commanded",
        "requested",
        "clicked",
        "approved",
        "backup_proven",
        "statement_sent",
        "succeeded",
    }
    assert asked <= set(kinds)
    report = Text(folder / "report.html").text
    for words in ("R-1 · shop/prod: done", "Ana", "Ben", "restored and proven", "orders can be read", "1 of 1", "acme"):
        assert words in report
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_the_same_request_is_the_same_file_again(world: World) -> None:
    stage = world.stage
    before = len(stage.events("exported"))
    assert stage.cli("evidence", "R-1", "--out", "again.zip").code == 0

    assert (stage.folder / "again.zip").read_bytes() == world.zips["R-1"]
    taken = stage.events("exported")[before]
    assert (taken.actor.startswith("os:"), (taken.data or {})["query"]) == (True, "evidence R-1")
    assert stage.cli("evidence", "R-1", "--out", "again.zip", "--json").json["reason"] == "bad_usage"


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _without_a_line(folder: Path) -> None:
    path = folder / "events.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _unsigned(path: Path) -> None:
    path.write_text(path.read_text().partition("\n\n")[0] + "\n\n")


def _listed(folder: Path) -> None:
    """The list of files as somebody without the key can make it fit again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    there = [name for name in manifest["files"] if (folder / name).exists()]
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in there}
    (folder / "manifest.json").write_text(json.dumps(manifest))


Change = Callable[[Path], object]
CHANGES: dict[str, tuple[Change, ...]] = {
    "another approver in the events": (lambda f: _replace(f / "events.jsonl", "U0BEN", "U0EVE"),),
    "another approver, and the list made to fit": (
        lambda f: _replace(f / "events.jsonl", "U0BEN", "U0EVE"),
        _listed,
    ),
    "another report, and the list made to fit": (
        lambda f: _replace(f / "report.html", "Ben", "Eve"),
        _listed,
    ),
    "a page of the report taken out": (lambda f: (f / "report.pdf").unlink(),),
    "one more file": (lambda f: (f / "note.txt").write_text("trust me"),),
    "an event taken out, and the list made to fit": (_without_a_line, _listed),
    "another root": (lambda f: _replace(f / "checkpoint.txt", "\n\n", "x\n\n"), _listed),
    "another plan, and the list made to fit": (
        lambda f: _replace(f / "plan.json", '"push"', '"pull"'),
        _listed,
    ),
    "no key and no signatures": (
        lambda f: (f / "key.txt").unlink(),
        lambda f: (f / "manifest.sig").unlink(),
        lambda f: _unsigned(f / "checkpoint.txt"),
        _listed,
    ),
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_changed_in_it_is_noticed(world: World, tmp_path: Path, changes: tuple[Change, ...]) -> None:
    folder = world.unpacked_again("R-1", tmp_path)
    for change in changes:
        change(folder)

    code, said = checked(folder, "--key", world.key)
    assert code != 0
    assert "It holds" not in said
    assert checked(folder)[0] != 0


def test_what_waits_is_signed_for_at_once_and_says_that_it_waits(world: World, tmp_path: Path) -> None:
    stage = world.stage
    stage.migration("20270102000001_more.sql", "create table public.more (id int);\n")
    ask(stage)
    assert stage.cli("evidence", "R-3", "--out", "waiting.zip").code == 0
    zipfile.ZipFile(stage.folder / "waiting.zip").extractall(tmp_path)
    folder = tmp_path / "R-3-evidence"

    assert json.loads((folder / "request.json").read_text())["status"] == "waiting"
    assert checked(folder, "--key", world.key)[0] == 0
    assert (stage.events("checkpoint_signed")[-1].data or {})["because"] == "evidence"


def test_without_a_key_it_proves_little_and_says_so(world: World, tmp_path: Path) -> None:
    stage = world.stage
    copy = stage.folder / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(stage.log_path)) as log, closing(sqlite3.connect(copy / "audit.db")) as to:
        log.backup(to)
    settings = stage.config.read_text().replace("var/audit.db", "copy/audit.db").replace('key = "keys/audit.key"\n', "")
    (stage.folder / "unsigned.toml").write_text(settings)
    ran = stage.cli("--config", "unsigned.toml", "evidence", "R-2", "--out", "unsigned.zip")
    zipfile.ZipFile(stage.folder / "unsigned.zip").extractall(tmp_path)

    assert "by nobody: no key is configured" in ran.out
    assert checked(tmp_path / "R-2-evidence") == (2, SAID_UNSIGNED.format(*_counts(tmp_path / "R-2-evidence")))
    assert checked(tmp_path / "R-2-evidence", "--key", world.key)[0] == 1
    read = [one for one in Reader(copy / "audit.db").find(Query(kinds=("configured",))) if one.actor.startswith("os:")]
    names = ["$SHOP_DEV_DATABASE_URL", "$SHOP_PROD_DATABASE_URL", "$SUPABASE_ACCESS_TOKEN"]
    assert [(one.data or {})["secrets"] for one in read] == [names]


SAID_UNSIGNED = "It cannot be told: {} files and {} events fit together, and nobody has signed any of them.\n"


def _counts(folder: Path) -> tuple[int, int]:
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    return len(listed), len((folder / "events.jsonl").read_text().splitlines())


def test_evidence_signed_with_another_key_does_not_hold(world: World) -> None:
    other = "acme+c34c9e2c+AQAR73D7ZXntDTgdwOSVrvWK+n6TQLLbvj5n9r7KQmPf"

    assert checked(world.folders["R-1"], "--key", other)[0] == 1


def test_hostile_words_stay_words_and_secrets_stay_out(world: World) -> None:
    folder = world.folders["R-2"]
    html = (folder / "report.html").read_text()
    assert is_harmless(html)
    assert "<script>alert(1)</script>" in Text(html).text
    assert "\u202e" not in html
    assert "\x1b" not in html
    for path in folder.iterdir():
        assert SECRET.encode() not in path.read_bytes(), path.name
    assert not re.search(r'(^|,)"?[=+@]', (folder / "events.csv").read_text(), re.MULTILINE)


def test_slack_gives_it_to_an_auditor_and_an_approver_and_to_nobody_else(world: World) -> None:
    stage = world.stage
    assert "R-1-evidence.zip, which I sent to you directly" in _plain(
        told(stage.slack.say(DEE, "/migrate evidence R-1"))
    )
    assert "R-1-evidence.zip" in _plain(told(stage.slack.say(CHI, "/migrate evidence R-1")))
    refused = told(stage.slack.say(ANA, "/migrate evidence R-1"))
    assert "You may not read the log of what others did." in refused
    assert [(one.data or {})["reason"] for one in stage.events("refused")][-1] == "not_an_auditor"
    sent = [one for one in stage.slack.state.files.values() if one.name == "R-1-evidence.zip"]
    assert sorted(zipfile.ZipFile(io.BytesIO(one.content or b"")).testzip() or "whole" for one in sent) == ["whole"] * 2


def _plain(text: str) -> str:
    return text.replace("`", "")


def test_paths_of_many_events_lead_to_the_root_of_every_size(world: World) -> None:
    view = Reader(world.stage.log_path)
    leaves = [bytes.fromhex(one) for one in view.hashes(0, view.size())]
    for size in range(1, len(leaves) + 1):
        roots = Roots(view, size)
        assert roots(0, size) == range_root_of(leaves)(0, size)
        if size % 7 == 0:
            for seq, path in inclusion_paths(roots, [1, size // 2, size]).items():
                assert holds_inclusion(leaves[seq - 1], seq - 1, size, path, roots(0, size))
