"""The page of every word and tool at the terminal, and the list of them: without a configuration, and through the log."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import countersign
from commands.words import TOOLS
from commands.words import Front
from commands.words import declared_words
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage without a bot, with nothing pending."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        yield stage


SECTIONS = ["Synopsis:", "Description:", "Options:", "Exit status:", "Examples:", "See also:"]


@pytest.mark.parametrize("word", sorted({*declared_words(), *TOOLS}))
@pytest.mark.parametrize("form", ["WORD --help", "WORD -h x", "help TOOL"])
def test_page_of_a_word_needs_no_configuration(
    word: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if form == "help TOOL" and word not in TOOLS:
        form = "WORD --help"

    assert countersign.main(form.replace("WORD", word).replace("TOOL", word).split()) == 0

    told = capsys.readouterr().out
    assert told.startswith(f"{word}: ")
    is_for_slack = word in declared_words() and Front.TERMINAL not in declared_words()[word].fronts
    assert f"{'/migrate' if is_for_slack else 'countersign'} {word}" in told
    places = [told.index(f"\n{section}") for section in SECTIONS]
    assert places == sorted(places)


def test_page_of_a_word_needs_no_log_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has configured it and not made the log yet, or lost it, may still read what a word does."""
    (tmp_path / "countersign.toml").write_text(
        '[projects.shop]\nrepository = "."\n[projects.shop.environments.dev]\n'
        'database_url = "$SHOP_DEV_DATABASE_URL"\nbranch = "main"\napprovals = 0\n'
    )
    monkeypatch.chdir(tmp_path)

    assert countersign.main(["help", "push"]) == 0
    assert capsys.readouterr().out.startswith("push: ")
    assert countersign.main(["help", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["reason"] == "no_log"


def test_page_of_a_word_is_the_same_through_the_log(shop: Stage) -> None:
    assert shop.cli("help", "push").out == shop.cli("push", "--help").out


def test_page_of_a_word_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert countersign.main(["push", "--help", "--json"]) == 0

    [word] = json.loads(capsys.readouterr().out)["words"]
    assert word["usage"].startswith("push ENVIRONMENT")
    expected = {"--commit SHA", "--emergency WHY", "--hotfix WHY", "--remote URL", "--wait [DURATION]", "--with-data"}
    assert {option["option"] for option in word["options"]} == expected


def test_overview_is_grouped_by_what_somebody_has_in_mind(capsys: pytest.CaptureFixture[str]) -> None:
    countersign.main(["--help"])

    told = capsys.readouterr().out
    places = [told.index(f"\n  {title}") for title in ("Plan and ask", "Decide", "Look", "The log", "Set up")]
    assert places == sorted(places)
    assert places[0] < told.index("countersign push") < places[1] < told.index("countersign approve") < places[2]


def test_word_that_is_none_is_told_with_the_tools_too(
    shop: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert countersign.main(["docotr", "--json"]) == 2
    without_configuration = json.loads(capsys.readouterr().out)
    with_it = json.loads(shop.cli("docotr", "--json").out)

    helped = json.loads(shop.cli("help", "docotr", "--json").out)
    for told in (without_configuration, with_it, helped):
        assert (told["reason"], told["message"]) == (
            "unknown_word",
            "There is no word 'docotr'. Did you mean `doctor`?",
        )
        assert all(f"{tool}" in told["hint"] for tool in TOOLS)
