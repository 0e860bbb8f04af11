"""The rooms of the house: imports point one way, foreign libraries live where they belong, files are short."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.words import Front
from commands.words import Option
from commands.words import all_words
from ops.errors import Reason

ROOT = Path(__file__).parent.parent
ROOMS = {
    "audit": set(),
    "ops": {"audit"},
    "commands": {"ops", "audit"},
    "bot": {"commands", "ops", "audit"},
    "sandbox": {"bot", "commands", "ops", "audit"},
}
"""Each room, and those that it may import from."""

OURS = {*ROOMS, "countersign"}
MOST_LINES = 400

DATABASE_MODULES = {
    "applied_files", "apply", "apply_alone", "apply_batches", "apply_cleanup", "apply_recovery", "apply_session",
    "apply_together", "apply_transaction", "apply_watch", "backup", "backup_catalog", "backup_restore", "batch_table",
    "catalog", "database", "direct_way", "drift", "drift_proof", "emptying", "fingerprint", "guard", "health",
    "health_tables", "history", "kinds/cleanup", "kinds/reset", "kinds/restore_managed", "kinds/resume",
    "kinds/secrets", "kinds/terminate", "listing", "load", "outside", "outside_memory",
    "population", "prior/around",
    "prior/checking", "prior/choosing", "prior/copies", "prior/kept", "prior/private", "prior/put_back",
    "prior/sending", "prior/tables", "prior/taking", "prior/written", "queueing", "rehearsal/copy",
    "rehearsal/copy_database", "rehearsal/extensions", "rehearsal/fence", "rehearsal/files", "rehearsal/platform",
    "rehearsal/rehearse", "rehearsal/restoring", "rehearsal/roles", "rehearsal/sizes", "rehearsal/target_state",
    "rehearsal/trace", "rehearsal_basis", "running", "schema/reading", "scratch", "settling", "sql_errors",
    "standins", "steps", "tables", "target_reading", "undo/contents", "undo/from_tables", "undo/losses", "undo/past",
    "undo/prior_copy", "undo/proving", "undo/source", "undo/whole", "watch",
}  # fmt: skip
"""The modules of ops that speak to Postgres, or translate what it says."""

HOMES = {
    "slack_bolt": ["bot/", "sandbox/"],
    "slack_sdk": ["bot/", "sandbox/"],
    "aiohttp": ["bot/", "sandbox/"],
    "datasette": ["audit/serving/setup.py", "audit/serving/site.py", "commands/auditing/serve.py"],
    "uvicorn": ["commands/auditing/serve.py"],
    "pyrage": ["ops/sealing.py"],
    "jwt": ["ops/ci_identity.py", "ops/ci_keys.py", "sandbox/"],
    "segno": ["commands/enrol.py"],
    "psycopg": ["sandbox/", *(f"ops/{name}.py" for name in DATABASE_MODULES)],
    "sqlite3": ["audit/", "bot/store.py"],
    "sqlite_utils": ["audit/"],
}
"""Where a foreign library may be imported."""


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """The packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", sources(), ids=shown)
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]

    assert set(imported(path)) & OURS - {room} <= ROOMS[room]


@pytest.mark.parametrize("library", HOMES)
def test_foreign_library_is_only_where_it_belongs(library: str) -> None:
    users = [shown(path) for path in [*sources(), ROOT / "countersign.py"] if library in imported(path)]

    assert users, f"nobody uses {library}"
    assert [user for user in users if not user.startswith(tuple(HOMES[library]))] == []


def test_list_of_database_modules_is_true() -> None:
    ops = ROOT / "ops"
    users = {str(path.relative_to(ops).with_suffix("")) for path in ops.rglob("*.py") if "psycopg" in imported(path)}

    assert users == DATABASE_MODULES


def test_no_file_is_too_long_to_read() -> None:
    files = [*sources(), ROOT / "countersign.py", *(ROOT / "tests").glob("*.py")]
    long = {shown(path): lines for path in files if (lines := len(path.read_text().splitlines())) > MOST_LINES}

    assert long == {}


@pytest.mark.parametrize("word", sorted(all_words()))
def test_every_word_says_what_it_is_and_is_tested(word: str) -> None:
    module = all_words()[word]

    assert module.USAGE.split()[0] == word
    assert re.fullmatch(r"[a-z].{5,80}[^.]", module.SUMMARY)
    assert module.FRONTS
    assert set(Front) >= module.FRONTS
    assert all(isinstance(option, Option) and f"--{name}" in module.USAGE for name, option in module.OPTIONS.items())
    assert callable(module.run)
    said = re.compile(rf"/migrate {word}\b|cli\(\"{word}\"|\"{word}[ \"]")
    assert any(said.search(path.read_text()) for path in (ROOT / "tests").glob("test_*.py"))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_given_somewhere(reason: Reason) -> None:
    files = [*sources(), ROOT / "countersign.py"]

    assert any(f"Reason.{reason.name}" in path.read_text() for path in files)


def test_importing_does_nothing(tmp_path: Path) -> None:
    """No thread, no process, no socket, no file, nothing printed; only the pages load Datasette, which tries its SQLite."""
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources()]
    pages = ["audit.serving.setup", "audit.serving.site"]
    code = f"""
import importlib, sys, threading
def watch(event, arguments):
    quiet = event not in {{"subprocess.Popen", "os.fork", "socket.bind", "socket.connect", "sqlite3.connect", "os.mkdir"}}
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if watching and (writes or not quiet):
        raise SystemExit(f"{{event}} {{arguments}}")
sys.dont_write_bytecode = True
watching = True
sys.addaudithook(watch)
for name in {[*(name for name in modules if name not in pages), "countersign"]!r}:
    importlib.import_module(name.removesuffix(".__init__"))
assert "datasette" not in sys.modules
watching = False
import datasette.app
watching = True
for name in {pages!r}:
    importlib.import_module(name)
assert threading.active_count() == 1
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_procfile_starts_the_bot() -> None:
    name, _, command = (ROOT / "Procfile").read_text().strip().partition(": ")

    assert (name, command) == ("bot", "countersign bot")
