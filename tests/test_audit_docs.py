"""The pages about the log: the list of events is that of the models, the library's blocks run, no log means no start."""

import re
import runpy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from audit_support import commanded

import countersign
from audit import KINDS
from audit import Log

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
[audit]
key = "keys/audit.key"
anchors = [{ file = "elsewhere.jsonl" }]
[projects.shop]
repository = "."
[projects.shop.environments.prod]
database_url = "$SHOP_DATABASE_URL"
branch = "main"
approvals = 0
"""


@pytest.fixture(scope="module")
def made() -> Mapping[str, Any]:
    return runpy.run_path(str(ROOT / "docs/make_events.py"))


def test_every_kind_of_event_is_documented_as_its_model_is(made: Mapping[str, Any]) -> None:
    """`python docs/make_events.py > docs/events.md` makes it so."""
    document = made["document"]()
    assert (ROOT / "docs/events.md").read_text() == document
    assert sorted(re.findall(r"^### (\w+)$", document, re.MULTILINE)) == sorted(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_example_of_a_kind_is_one(made: Mapping[str, Any], kind: str) -> None:
    assert KINDS[kind].__doc__, "a kind says when it is recorded"
    KINDS[kind].model_validate(made["example"](kind))


def test_the_blocks_of_the_library_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/audit-library.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 7
    known: dict[str, Any] = {"__name__": "library"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/audit-library.md, block {number}", "exec"), known)  # noqa: S102 (our own page)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration on a disk that holds nothing else, and the tokens that a bot takes."""
    (tmp_path / "countersign.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    for name, value in (("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_APP_TOKEN", "xapp-1")):
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    ["bot", "bot --http", "status", "push prod", "evidence R-1", "audit query", "audit verify", "audit checkpoint"],
)
def test_without_its_log_nothing_starts_and_none_is_made(
    desk: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    code = countersign.main([*line.split(), "--json"])

    assert (code, '"reason": "no_log"' in capsys.readouterr().out) == (2, True)
    assert [path.name for path in desk.rglob("*")] == ["countersign.toml"]


def test_an_older_copy_of_the_log_does_not_pass_the_check_before_the_start(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/hosting.md starts it: the disk was thrown away, and what the signer remembers with it."""
    log = desk / "var/audit.db"

    def typed(*words: str) -> int:
        return countersign.main(["audit", *words, "--json"])

    assert (typed("create"), typed("key")) == (0, 0)
    public = re.findall(r'"key": "([^"]+)"', capsys.readouterr().out)[-1]
    grow(log)
    shutil.copy(log, desk / "copied.db")
    grow(log)
    assert typed("checkpoint") == 0
    shutil.copy(log, desk / "newest.db")

    for copy, code in (("newest.db", 0), ("copied.db", 1)):
        for path in (*log.parent.glob("audit.db*"), desk / "keys/audit.key.signed"):
            path.unlink(missing_ok=True)
        shutil.copy(desk / copy, log)
        assert typed("verify", "--anchors", "elsewhere.jsonl", "--key", public) == code, copy


def grow(log: Path) -> None:
    with Log.open(log) as opened:
        opened.append([commanded(f"status {number}") for number in range(5)])
