"""Completion at a shell: the right words, names and numbers, read only, quiet whatever is missing, in real shells."""

import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import read_until

import countersign
from audit import KINDS
from commands.auditing import ACTIONS
from commands.completion import LOG
from commands.completion import REQUESTS_SHOWN
from commands.completion import completions
from commands.tool_parsers import parser_of
from commands.words import TOOLS
from commands.words import Front
from commands.words import declared_words
from ops.settings import Audit
from ops.settings import load_settings
from ops.targets import all_targets
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage without a bot, with an open request (R-2) and one that is over (R-1)."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        stage.migration("20260101000000_first.sql", "create table first (id int primary key);\n")
        for words in (["push", "prod"], ["cancel", "R-1"], ["push", "prod"]):
            ran = stage.cli(*words)
            assert ran.code == 0, ran.err
        binaries = stage.folder / "bin"
        binaries.mkdir()
        (binaries / "countersign").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m countersign "$@"\n')
        (binaries / "countersign").chmod(0o755)
        for shell in ("bash", "zsh", "fish"):
            source = stage.cli("completion", shell)
            assert (source.code, source.err) == (0, "")
            (stage.folder / f"completion.{shell}").write_text(source.out)
        yield stage


@pytest.fixture
def fitting(shop: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Fitting":
    monkeypatch.chdir(shop.folder)
    monkeypatch.delenv("COUNTERSIGN_CONFIG", raising=False)
    return Fitting(shop, capsys)


class Fitting:
    """What is offered for a line that ends at the cursor."""

    def __init__(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = str(stage.config)
        self._capsys = capsys

    def lines(self, *words: str) -> list[str]:
        assert countersign.main(["__complete", "--config", self.config, *words]) == 0
        told = self._capsys.readouterr()
        assert told.err == ""
        return told.out.splitlines()

    def __call__(self, line: str) -> list[str]:
        return [one.partition("\t")[0] for one in self.lines(*line.split(" "))]


AT_THE_TERMINAL = {name for name, word in declared_words().items() if Front.TERMINAL in word.fronts} | set(TOOLS)

LINES = [
    ("pu", ["push"]),
    ("PU", ["push"]),
    ("psh", []),
    ("help au", ["audit"]),
    ("push ", ["dev", "prod"]),
    ("push d", ["dev"]),
    ("push shop/p", ["shop/prod"]),
    ("push prod ", []),
    ("push prod --wa", ["--wait"]),
    ("push --wait p", ["prod"]),
    ("push --wait 30m ", []),
    ("push --commit ", []),
    ("push --commit 1234567 d", ["dev"]),
    ("plan --color=al", ["--color=always"]),
    ("plan --color = n", ["never"]),
    ("plan --color =", ["auto", "always", "never"]),
    ("plan --json p", ["prod"]),
    ("approve ", ["R-2"]),
    ("approve r-", ["R-2"]),
    ("approve R-2 ", []),
    ("cancel R", ["R-2"]),
    ("reject ", ["R-2"]),
    ("stop ", ["R-2"]),
    ("show ", ["R-2", "R-1"]),
    ("nonsense ", []),
    ("audit ", [*ACTIONS]),
    ("audit query --ki", ["--kind"]),
    ("audit query --kind approv", ["approval_carried", "approved"]),
    ("audit query --target p", ["prod"]),
    ("audit query --request R", ["R-2", "R-1"]),
    ("audit export --format ", ["csv", "jsonl"]),
    ("audit export --format c", ["csv"]),
    ("completion ", ["bash", "zsh", "fish"]),
    ("completion z", ["zsh"]),
    ("bot --h", ["--http", "--host", "--help"]),
    ("doctor ", []),
    ("push $(touch", []),
]


@pytest.mark.parametrize(("line", "offered"), LINES, ids=[line for line, _ in LINES])
def test_what_fits_is_offered(fitting: Fitting, line: str, offered: list[str]) -> None:
    if line.startswith("audit query --kind "):
        offered = [kind for kind in sorted(KINDS) if kind.startswith("approv")]

    assert fitting(line) == offered


HOSTILE = """
[projects.shop.environments.prod]
branch = "ma\\u001b[2Jin\\u202e\\u0007\\tx"
[projects.shop.environments."--config=/etc/passwd"]
branch = "main"
"""


def test_a_hostile_configuration_offers_no_option_and_moves_nothing_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hostile.toml"
    config.write_text(HOSTILE)

    for line in (["push", ""], ["push", "-"], ["audit", "query", "--target", ""], ["audit", "query", "--target=--"]):
        assert countersign.main(["__complete", "--config", str(config), *line]) == 0
        offered = capsys.readouterr().out
        assert "/etc" not in offered
        if not line[-1]:
            assert offered == "prod\tshop/prod, ma[2Jin x\n"


def test_every_word_and_tool_is_offered_with_what_it_does(fitting: Fitting) -> None:
    told = dict(line.split("\t") for line in fitting.lines(""))

    assert told.keys() == AT_THE_TERMINAL
    assert all(told.values())


@pytest.mark.parametrize("word", sorted(AT_THE_TERMINAL - {"audit"}))
def test_every_option_of_a_word_is_offered_with_what_it_does(fitting: Fitting, word: str) -> None:
    told = dict(line.split("\t") for line in fitting.lines(word, "--"))

    if word in TOOLS:
        own = {text for action in parser_of(word)._actions for text in action.option_strings}
    else:
        own = {f"--{name}" for name in declared_words()[word].options}
    assert told.keys() == own | {"--config", "--json", "--color", "--help"}
    assert all(told.values())


def test_names_are_those_that_the_checked_configuration_has(fitting: Fitting, shop: Stage) -> None:
    assert fitting("push shop/") == [target.name for target in all_targets(load_settings(shop.config))]
    assert str(Audit().path) == LOG


def test_several_projects_are_told_apart(tmp_path: Path) -> None:
    one = '[projects.{0}.environments.{1}]\nbranch = "main"\n'
    (tmp_path / "c.toml").write_text(one.format("shop", "prod") + one.format("till", "prod"))

    found = completions(["push", ""], parser_of, lambda _: tmp_path / "c.toml")

    assert found == [("shop/prod", "shop/prod, main"), ("till/prod", "till/prod, main")]


def test_configuration_cannot_offer_what_a_shell_would_run(tmp_path: Path) -> None:
    names = ['"$(touch hacked)"', '"a b"', '"x;y"', '"\'"', '"\\u001b[2J"', '"ok"']
    (tmp_path / "c.toml").write_text("".join(f"[projects.shop.environments.{name}]\n" for name in names))

    assert completions(["push", ""], parser_of, lambda _: tmp_path / "c.toml") == [("ok", "shop/ok,")]


@pytest.mark.parametrize(
    "line", ["", "pu", "push ", "show ", "approve R-", "audit query --target ", "audit query --kind "]
)
@pytest.mark.parametrize(
    "content", [None, "not toml [", '[audit]\npath = "nowhere/audit.db"\n', "\x00", "projects = 7\n"]
)
def test_nothing_that_is_missing_or_broken_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, content: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COUNTERSIGN_CONFIG", raising=False)
    if content is not None:
        (tmp_path / "countersign.toml").write_text(content)
    before = sorted(tmp_path.rglob("*"))

    assert countersign.main(["__complete", *line.split(" ")]) == 0

    told = capsys.readouterr()
    assert told.err == ""
    assert "Traceback" not in told.out
    assert line not in {"", "pu"} or "push\t" in told.out
    assert sorted(tmp_path.rglob("*")) == before


def test_asking_reads_only(shop: Stage, fitting: Fitting) -> None:
    def found() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in shop.log_path.parent.iterdir() if path.is_file()}

    before = found()

    for line in ("show ", "approve ", "push ", "audit query --request "):
        assert fitting(line)

    assert found() == before


def test_many_requests_are_the_newest_ones(fitting: Fitting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.completion.REQUESTS_SHOWN", 1)

    assert REQUESTS_SHOWN == 20
    assert fitting("show ") == ["R-2"]


def test_asking_loads_no_more_than_it_needs(shop: Stage) -> None:
    def loaded(*words: str) -> set[str]:
        ran = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "countersign", "__complete", *words],
            cwd=shop.folder,
            env=shop.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines() if "|" in line}

    heavy = {"bot", "sandbox", "psycopg", "pglast", "aiohttp", "slack_sdk", "sqlite_utils", "rich", "numpy"}
    assert loaded("push", "") & (heavy | {"audit", "pydantic"}) == set()
    assert loaded("approve", "") & heavy == set()


# --- real shells -------------------------------------------------------------------------------------


def in_shell(shop: Stage, shell: str, script: str) -> str:
    """What a real shell prints that has read our script."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    bare = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    ran = subprocess.run(
        [program, *bare, "-c", script],
        cwd=shop.folder,
        env=in_path(shop),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout


def in_path(shop: Stage) -> dict[str, str]:
    path = f"{shop.folder / 'bin'}:{os.environ['PATH']}"
    return {**shop.environment, "PATH": path, "HOME": str(shop.folder), "COUNTERSIGN_CONFIG": str(shop.config)}


SHELL_LINES = [
    ("pu", ["push"]),
    ("push ", ["dev", "prod"]),
    ("push --wa", ["--wait"]),
    ("approve ", ["R-2"]),
    ("audit export --format ", ["csv", "jsonl"]),
    ("push $(touch${IFS}hacked)", []),
    ("push `touch${IFS}hacked`", []),
    ("--config completion.b", ["completion.bash"]),
]


@pytest.mark.parametrize(("line", "offered"), SHELL_LINES, ids=[line for line, _ in SHELL_LINES])
def test_bash_offers_it(shop: Stage, line: str, offered: list[str]) -> None:
    words = ["countersign", *line.split(" ")]
    script = f"""source completion.bash
    complete -p countersign >/dev/null || exit 9
    COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
    _countersign
    printf '%s\\n' "${{COMPREPLY[@]}}" """

    found = in_shell(shop, "bash", script)

    assert sorted(found.split()) == offered
    assert not (shop.folder / "hacked").exists()


def test_bash_offers_the_value_of_a_glued_option(shop: Stage) -> None:
    """Bash takes `--color=al` apart into three words."""
    script = """source completion.bash
    COMP_WORDS=(countersign plan --color = al); COMP_CWORD=4; _countersign; echo "${COMPREPLY[@]}" """

    assert in_shell(shop, "bash", script) == "always\n"


@pytest.mark.parametrize(("line", "offered"), SHELL_LINES[:-1], ids=[line for line, _ in SHELL_LINES[:-1]])
def test_zsh_offers_it(shop: Stage, line: str, offered: list[str]) -> None:
    words = ["countersign", *line.split(" ")]
    script = f"""compdef() {{ :; }}
    source ./completion.zsh
    _describe() {{ local -a given; given=("${{(@P)argv[-1]}}"); print -rl -- "${{given[@]%%:*}}"; }}
    words=({shlex.join(words)}); CURRENT={len(words)}
    _countersign"""

    assert sorted(in_shell(shop, "zsh", script).split()) == offered
    assert not (shop.folder / "hacked").exists()


@pytest.mark.parametrize(("line", "offered"), SHELL_LINES[:5], ids=[line for line, _ in SHELL_LINES[:5]])
def test_fish_offers_it(shop: Stage, line: str, offered: list[str]) -> None:
    found = in_shell(shop, "fish", f"source completion.fish; complete -C {shlex.quote('countersign ' + line)}")

    assert sorted(one.partition("\t")[0] for one in found.splitlines()) == offered
    assert all(one.partition("\t")[2] for one in found.splitlines() if line in {"pu", "push ", "approve "})


TYPED = [
    ("bash", ["--norc", "--noprofile", "-i"], "source completion.bash"),
    ("zsh", ["-f", "-i"], "autoload -Uz compinit && compinit -D -u && source ./completion.zsh"),
]


@pytest.mark.parametrize(("shell", "options", "source"), TYPED, ids=["bash", "zsh"])
def test_tab_completes_what_somebody_types(shop: Stage, shell: str, options: list[str], source: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(shop.folder)
        os.execve(program, [program, *options], {**in_path(shop), "PS1": "> ", "TERM": "xterm"})  # noqa: S606 - a pty, no other shell
    try:
        os.write(terminal, f"{source}; echo rea''dy\n".encode())
        read_until(terminal, "ready")
        os.write(terminal, b"countersign appr\t")
        read_until(terminal, "approve")
        os.write(terminal, b"R\t")
        shown = read_until(terminal, "R.*-.*2")
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)

    assert "command not found" not in shown
