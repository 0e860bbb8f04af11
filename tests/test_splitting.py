"""Statements are cut exactly as the Supabase CLI 3.1.0 stores them."""

import json
import time
from pathlib import Path

import pytest

from ops.splitting import cut
from ops.splitting import split

VECTORS = json.loads((Path(__file__).parent / "data" / "split_vectors.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", VECTORS, ids=range(len(VECTORS)))
def test_a_recorded_file_is_cut_as_the_cli_cut_it(case: dict[str, object]) -> None:
    assert case["statements"] == split(str(case["sql"]))


@pytest.mark.parametrize("case", VECTORS, ids=range(len(VECTORS)))
def test_every_piece_stands_where_it_says(case: dict[str, object]) -> None:
    text = str(case["sql"])
    for piece in cut(text).pieces:
        assert piece.text == text[piece.offset : piece.offset + len(piece.text)]
        assert text.count("\n", 0, piece.offset) + 1 == piece.line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create table t (a int); -- tail\n\nselect 1;;", ["create table t (a int)", "-- tail\n\nselect 1"]),
        ("select E'it\\'s; one'; select 'a\\'; select 2", ["select E'it\\'s; one'", "select 'a\\'", "select 2"]),
        ("select e'a'\n  'b\\';c'; select 2", ["select e'a'\n  'b\\';c'", "select 2"]),
        ("select $x$ ; $y$ ; $x$; select a$b$; select 2", ["select $x$ ; $y$ ; $x$", "select a$b$", "select 2"]),
        ("/* a; /* b; */ c; */ select 1; select 2", ["/* a; /* b; */ c; */ select 1", "select 2"]),
        ("\u00a0select 1\u00a0;\x1cselect 2\x1c", ["select 1", "\x1cselect 2\x1c"]),
        ("a (b (c); d) ; e", ["a (b (c)", "d)", "e"]),
        ("-- begin\natomic; end;", ["-- begin\natomic; end"]),
    ],
    ids=[
        "comments stay with what follows",
        "a backslash escapes in E strings alone",
        "a continued string keeps its E",
        "a dollar after a letter opens nothing",
        "block comments nest",
        "JavaScript trims other characters than Python",
        "one parenthesis closes all",
        "begin in a comment counts",
    ],
)
def test_an_oddity_of_the_cli_is_kept(text: str, expected: list[str]) -> None:
    assert expected == split(text)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("select 'a", "quoted string"),
        ("select E'a\\'", "quoted string"),
        ('select "a', "quoted name"),
        ("select $a$ b $b$", "dollar quote"),
        ("select 1 /* a", "comment"),
        ("create table t (a int;", "parentheses"),
        ("create function f() begin atomic select 1;", "BEGIN ATOMIC body"),
        ("select 1;", ""),
    ],
)
def test_what_is_left_open_at_the_end_is_named(text: str, inside: str) -> None:
    assert inside == cut(text).unfinished


def test_backslashes_outside_quotes_are_found() -> None:
    text = "\\set x 1\nselect '\\', \"\\\", $$\\$$ -- \\\n/* \\ */;\n\\i more.sql\n"
    assert [0, text.index("\\i")] == list(cut(text).backslashes)


@pytest.mark.parametrize(
    "text",
    [
        "insert into t (a, b) values (1, 'hello; wörld', now()); -- x\n" * 16_000,
        "(" * 1_000_000,
        "/*" * 500_000,
        "begin atomic " + "/*x*/ " * 100_000 + "x " + "end " * 200_000,
        "begin" + " " * 900_000 + "atomic",
        "atomic " * 150_000,
        "E''" * 330_000,
        "$a" * 500_000,
        "\\" * 1_000_000,
    ],
    ids=["inserts", "parentheses", "comments", "ends", "space", "atomic", "strings", "dollars", "backslashes"],
)
def test_a_megabyte_is_cut_in_linear_time(text: str) -> None:
    """Generous for slow machines: a quadratic walk over any of these takes minutes."""
    started = time.perf_counter()
    split(text)
    assert time.perf_counter() - started < 5
