"""The built page in sandbox/static: made from sandbox/web and nothing else, and asking nobody for anything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from commands.words import Front
from commands.words import declared_words

SANDBOX = Path(__file__).parent.parent / "sandbox"
STATIC, WEB = SANDBOX / "static", SANDBOX / "web"
FILES = ["LICENSES.txt", "app.css", "app.js", "index.html"]
MOST_BYTES = {"app.js": 1_600_000, "app.css": 120_000, "index.html": 2_000, "LICENSES.txt": 200_000}

NEVER_LOADED = re.compile(
    r"http://www\.w3\.org/"  # XML namespaces
    r"|https://react\.dev/errors/|https://github\.com/(syntax-tree|remarkjs)/"  # in the words of packages' own errors
    r"|https://app\.slack\.com/block-kit-builder"  # a link of the block library for debugging, which is not shown here
    r"|https?://$"  # what a link without a scheme is read as
)
URL = re.compile(r"https?://[^\s\"'`)<>\\]*")


@pytest.mark.parametrize("name", FILES)
def test_built_file_is_there_and_not_larger_than_expected(name: str) -> None:
    assert 100 < (STATIC / name).stat().st_size < MOST_BYTES[name]


def test_nothing_else_is_served() -> None:
    assert sorted(path.name for path in STATIC.iterdir()) == FILES


def test_page_and_style_load_only_what_lies_beside_them() -> None:
    page = (STATIC / "index.html").read_text()
    style = (STATIC / "app.css").read_text()

    assert sorted(re.findall(r'(?:src|href)="([^"]*)"', page)) == ["app.css", "app.js", "data:,"]
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|style=", page)
    assert not re.search(r"@import|url\((?!\"?data:)|https?:|@font-face", style)


def test_script_names_no_other_machine() -> None:
    script = (STATIC / "app.js").read_text()

    assert [url for url in URL.findall(script) if not NEVER_LOADED.match(url)] == []
    assert "eval(" not in script
    assert "new Function" not in script
    assert "sourceMappingURL" not in script


def test_our_source_never_writes_html() -> None:
    sources = [path.read_text() for path in (WEB / "src").iterdir() if path.suffix in {".ts", ".tsx"}]

    assert len(sources) > 20
    assert not any(re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write", source) for source in sources)


def test_page_offers_the_words_that_slack_knows() -> None:
    offered = re.findall(r'typed: "/migrate (\w+)', (WEB / "src" / "words.ts").read_text())

    assert set(offered) == {name for name, word in declared_words().items() if Front.SLACK in word.fronts}


@pytest.mark.parametrize("folder", [WEB, Path(__file__).parent / "npm"], ids=["web", "tests"])
def test_lock_names_no_registry(folder: Path) -> None:
    lock = (folder / "package-lock.json").read_text()

    assert '"integrity": "sha512-' in lock
    assert '"resolved"' not in lock
    assert "registry" not in lock


def test_every_bundled_package_has_its_licence() -> None:
    licences = (STATIC / "LICENSES.txt").read_text()

    for package in ("react", "react-dom", "slack-blocks-to-jsx", "react-markdown", "node-emoji"):
        assert re.search(rf"^{package} \d+\.\d+\.\d+ \(MIT\)$", licences, re.MULTILINE), package
    assert "holds no licence text" not in licences


def test_built_page_is_what_the_sources_give(tmp_path: Path) -> None:
    """The committed files are those of a fresh build, byte for byte, and the types hold."""
    if not os.environ.get("COUNTERSIGN_TEST_NPM"):
        pytest.skip("COUNTERSIGN_TEST_NPM is not set: building the page needs npm and its packages")
    copy = tmp_path / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))

    # Not `npm ci`: which of the optional packages for other systems are there is no matter of the lock's.
    for command in (
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"],
        ["npm", "run", "--silent", "types"],
        ["npm", "run", "--silent", "build"],
    ):
        ran = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    built = tmp_path / "static"
    assert sorted(path.name for path in built.iterdir()) == FILES
    different = [name for name in FILES if (built / name).read_bytes() != (STATIC / name).read_bytes()]
    assert different == [], "run `npm install && npm run build` in sandbox/web and commit sandbox/static"
