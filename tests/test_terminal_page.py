"""What a terminal shows: the page's words whatever its width and colours, harmless text, and progress that goes away."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from datetime import datetime

import pytest
from rich.cells import cell_len

from commands.page import Code
from commands.page import Command
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Source
from commands.page import Strong
from commands.page import Table
from commands.page import Tone
from commands.page import When
from commands.page import Who
from commands.page import plain_page
from commands.screen import NARROWEST
from commands.screen import Screen
from commands.screen import screen_of
from commands.screen import shown_page
from commands.terminal_page import terminal_page
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

AT = datetime(2026, 1, 22, 13, 52, tzinfo=UTC)
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b1m\u202e\u200b\r\x08 [bold]markup[/bold] :smile: 日本語テキスト عربي"
SQL = "create table orders (\n\tid int,\n" + "  note text default '" + "x" * 250 + "'\n);\n\n-- the end"

PAGE = Page(
    "R-7 · shop/prod: waiting for approval, which takes some time as a rule",
    facts=[
        ("Requested by", (Who("slack:T0ACME/U0ANA"), " ", When(AT))),
        ("Commit", (Code("4e1b2c9d0a55"),)),
        ("Authors not in [people], who could approve", ("ana@acme.example, " * 8,)),
        (HOSTILE, (HOSTILE,)),
    ],
    body=[
        Paragraph(("A push would be refused. ", Strong("Why: "), "because of this and that, " * 9)),
        Listing("2 hazards", [("drops a table that has rows ",), (HOSTILE * 3,)], ["danger", "info"]),
        Listing("Worth knowing", [("word " * 40,), ("x" * 120,)]),
        Source("SQL", SQL),
        Table(
            "History",
            ["Request", "Status", "Target", "Asked by"],
            [[("R-1",), ("succeeded",), ("shop/prod",), (Who("os:host/ana"), " ", When(AT))], [(HOSTILE,)] * 4],
        ),
    ],
    next=("when that is mended, type ", Command("push prod"), "."),
    small=("plan ", Code("3f9a1c0be2d47a55")),
    tone="busy",
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def screen(width: int = 80, *, colour: bool = False, lines: bool = True, terminal: bool = True) -> Screen:
    return Screen(is_terminal=terminal, has_colour=colour, has_lines=lines, width=width)


@pytest.mark.parametrize("width", [NARROWEST, 40, 80, 200])
@pytest.mark.parametrize("colour", [True, False], ids=["colour", "plain"])
def test_no_line_is_wider_than_the_screen(width: int, colour: bool) -> None:
    shown = COLOUR.sub("", terminal_page(PAGE, screen(width, colour=colour)))

    assert max(cell_len(line) for line in shown.split("\n")) <= width
    assert not any(line.endswith(" ") for line in shown.split("\n") if not line.startswith(("│", "┆")))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_word_is_lost_at_any_width(width: int) -> None:
    def letters(text: str) -> str:
        return re.sub(r"[\s│┆─┌└:|]", "", text)

    shown = letters(terminal_page(PAGE, screen(width)))

    for part in ("R-7·shop/prod", "[danger]", "[info]", "countersignpushprod", "U0ANA", "x" * 250, "os" + "host/ana"):
        assert part in shown
    assert shown.count("ana@acme.example") == 8


def test_colours_change_no_word() -> None:
    coloured = terminal_page(PAGE, screen(colour=True))

    assert COLOUR.search(coloured)
    assert COLOUR.sub("", coloured) == terminal_page(PAGE, screen())


@pytest.mark.parametrize("lines", [True, False], ids=["utf-8", "ascii"])
def test_text_from_elsewhere_is_harmless(lines: bool) -> None:
    shown = COLOUR.sub("", terminal_page(PAGE, screen(colour=True, lines=lines)))

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", shown)
    assert "[bold]markup[/bold]" in shown
    assert ":smile:" in shown
    assert lines or not re.search("[│┆─┌└]", shown)


def test_tone_is_a_colour_and_no_word() -> None:
    tones: list[Tone] = ["plain", "good", "bad", "warning", "busy"]
    shown = [terminal_page(Page("It is done", tone=tone), screen(colour=True)) for tone in tones]

    assert len(set(shown)) == len(tones)
    assert {COLOUR.sub("", text) for text in shown} == {"It is done"}


def test_sql_stands_letter_by_letter_between_its_lines() -> None:
    shown = terminal_page(Page("Plan", body=[Source("SQL", SQL)]), screen(60)).split("\n")
    start = next(number for number, line in enumerate(shown) if line.startswith("┌─ SQL ─"))

    assert shown[-1] == "└" + "─" * 59
    again = "".join(("\n" if line[0] == "│" else "") + line[2:] for line in shown[start + 1 : -1])
    assert again.removeprefix("\n") == SQL.expandtabs(8)


def test_what_looks_like_a_comment_in_sql_is_not_coloured_as_one() -> None:
    shown = terminal_page(Page("Plan", body=[Source("", "select '--'; drop table t;")]), screen(colour=True))

    assert "select '--'; drop table t;" in shown


def test_facts_and_tables_are_aligned() -> None:
    page = Page("x", [("By", ("ana",)), ("Commit", ("4e1b",))], [Table("", ["A", "Long"], [[("1",), ("2",)]])])

    assert terminal_page(page, screen()).split("\n") == [
        "x",
        "  By      ana",
        "  Commit  4e1b",
        "",
        "A   Long",
        "────────",
        "1   2",
    ]


def test_table_on_a_narrow_screen_is_one_block_for_each_row() -> None:
    rows = [[("R-1",), ("succeeded",), ("dev",), ("ana",)], [("R-2",), ("failed",), ("prod",), ("ben",)]]
    shown = terminal_page(Page("x", body=[Table("", ["Request", "Status", "On", "By"], rows)]), screen(40))

    assert shown.split("\n")[2:7] == ["  Request  R-1", "  Status   succeeded", "  On       dev", "  By       ana", ""]


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_times_are_the_readers_on_a_terminal_and_utc_in_a_pipe() -> None:
    page = Page("x", [("At", (When(AT),))])

    assert "2026-01-22 14:52 CET" in shown_page(page, screen())
    assert "2026-01-22 13:52 UTC" in shown_page(page, screen(terminal=False))
    assert "2026-01-22 13:52 UTC" in shown_page(page, screen(terminal=False, colour=True))


def test_pipe_gets_the_plain_page() -> None:
    harmless = replace(PAGE, facts=PAGE.facts[:3], body=PAGE.body[:1])

    assert shown_page(harmless, screen(20, terminal=False)) == plain_page(harmless)


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    encoding = "utf-8"

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


COLOURS = [
    ("auto", True, {}, True),
    ("auto", False, {}, False),
    ("auto", True, {"NO_COLOR": "1"}, False),
    ("auto", True, {"NO_COLOR": ""}, True),
    ("auto", True, {"TERM": "dumb"}, False),
    ("auto", True, {"CLICOLOR": "0"}, False),
    ("auto", False, {"CLICOLOR_FORCE": "1"}, True),
    ("auto", False, {"CLICOLOR_FORCE": "0"}, False),
    ("auto", False, {"FORCE_COLOR": "1"}, True),
    ("auto", False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ("always", False, {"NO_COLOR": "1"}, True),
    ("never", True, {"FORCE_COLOR": "1"}, False),
]


@pytest.mark.parametrize(("option", "terminal", "environment", "coloured"), COLOURS)
def test_colour_is_the_readers_choice(option: str, terminal: bool, environment: dict[str, str], coloured: bool) -> None:
    found = screen_of(Stream(terminal=terminal), option, environment)  # type: ignore[arg-type]

    assert (found.has_colour, found.is_terminal) == (coloured, terminal)


@pytest.mark.parametrize(("columns", "width"), [("40", 40), ("5", NARROWEST), ("0", 80), ("many", 80), ("", 80)])
def test_width_is_what_the_reader_says(columns: str, width: int) -> None:
    assert screen_of(Stream(terminal=True), "auto", {"COLUMNS": columns}).width == width


# --- real terminals ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage without a bot; nothing is asked for yet."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        yield stage


def on_terminal(stage: Stage, *words: str, columns: int = 80, environment: dict[str, str] | None = None) -> str:
    """What a command shows on a terminal of this width."""
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    bare = {
        name: value for name, value in stage.environment.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}
    }
    with subprocess.Popen(
        [sys.executable, "-m", "countersign", *words],
        cwd=stage.folder,
        env={**bare, "TERM": "xterm-256color", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
    ):
        os.close(writing)
        shown = b""
        while True:
            try:
                part = os.read(reading, 10_000)
            except OSError:  # the command has ended
                break
            shown += part
            if not part:
                break
    os.close(reading)
    return shown.decode().replace("\r\n", "\n")


def test_terminal_gets_colours_unless_it_wants_none(shop: Stage) -> None:
    assert COLOUR.search(on_terminal(shop, "status"))
    for words, environment in ((["--color=never"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})):
        shown = on_terminal(shop, "status", *words, environment=environment)
        assert "Nothing waits" in shown
        assert not COLOUR.search(shown)


def test_pipe_gets_no_colours_unless_it_wants_them(shop: Stage) -> None:
    assert "\x1b" not in shop.cli("status").out
    assert COLOUR.search(shop.cli("status", "--color", "always").out)
    assert COLOUR.search(shop.cli("stauts", "--color", "always").err)
    assert "\x1b" not in shop.cli("status", "--color", "always", "--json").out
    wrong = shop.cli("status", "--color", "pink", "--json")
    assert (wrong.code, '"bad_usage"' in wrong.out) == (2, True)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_real_terminal_is_not_written_beyond_its_width(shop: Stage, columns: int) -> None:
    shown = COLOUR.sub("", on_terminal(shop, "push", "--help", columns=columns))

    widest = max(cell_len(line) for line in shown.split("\n"))
    assert columns // 2 < widest <= columns


def test_run_is_followed_on_a_terminal_and_told_line_by_line_elsewhere(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_a.sql", "create table a (id int primary key);\n")
    stage.migration("20260101000001_b.sql", "select pg_sleep(1.5);\n")

    shown = on_terminal(stage, "push", "dev")

    assert re.search(r"\x1b\[K. migrate: 2 of 2, 20260101000001_b\.sql  \d s  █{10}░{10} 50 %", shown)
    last = shown.rpartition("\r\x1b[K")[2]
    assert "R-1" in last
    assert "migrate: 2 of 2, 2026" not in last

    stage.migration("20260101000002_c.sql", "create table c (id int primary key);\n")
    piped = stage.cli("push", "dev")
    assert piped.code == 0
    assert piped.err.splitlines() == [f"countersign: {step}" for step in ("preflight", "backup", "migrate", "health")]
    assert stage.cli("push", "dev", "--json").err == ""


def test_push_that_no_bot_shows_says_when_people_will_see_it(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_first.sql", "create table first (id int primary key);\n")

    told = stage.cli("push", "prod").out

    assert "Next: as soon as the bot runs, its card appears in Slack" in told
    assert "countersign bot" in told
