"""Draws a timeline: JSON on standard input, a PNG on standard output. A program of its own, run for each picture.

matplotlib takes some 70 MB and most of a second; neither belongs into the bot, nor into a terminal that draws nothing.
Run with `python -I` by path, so it imports nothing of ours; and matplotlib when it draws: importing that makes folders.
"""

import json
import sys
import unicodedata
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, ROW_INCHES, TOP_INCHES, BOTTOM_INCHES, DOTS_PER_INCH = 10.5, 0.32, 0.45, 0.55, 110
LABELS, BARS = 0.33, 0.5
"""The shares of the width; the rest is for the words behind the bars."""
LABEL_LETTERS, DETAIL_LETTERS, TITLE_LETTERS = 44, 130, 85
LETTER_INCHES = 0.068
FONTS = ["DejaVu Sans Mono", "DejaVu Sans"]  # the second has the letters that the first lacks
LOOK: dict[str, Any] = {"va": "center", "parse_math": False, "clip_on": False}
"""A dollar sign in a file's name begins no formula."""
INDENT = {"step": 0, "gap": 0, "file": 2, "wait": 4, "statement": 4}
FILLS = {"gap": "#ffffff", "step": "#1f3a5f", "file": "#4a7ab5", "wait": "#ffffff", "statement": "#a9c4e4"}
BAD, GREY = "#b3261e", "#555555"
BROKEN = {"failed", "stopped", "rolled back", "broken off", "unknown"}


def draw(found: dict[str, Any]) -> "Figure":
    """The picture of one timeline: a bar a row, its words on both sides, seconds below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = [row for bar in found["bars"] for row in ([bar, {**bar, "told": True}] if bar["detail"] else [bar])]
    height = TOP_INCHES + ROW_INCHES * len(bars) + BOTTOM_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((LABELS, BOTTOM_INCHES / height, BARS, ROW_INCHES * len(bars) / height))
    longest = max([found["seconds"], *(bar["start"] + bar["seconds"] for bar in bars), 0.001])
    for row, bar in enumerate(bars):
        (_told if bar.get("told") else _bar)(axes, row, bar, longest)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, longest)
    axes.set_yticks([])
    axes.set_xlabel("seconds since the run began", fontsize=9, color=GREY)
    title = _printable(found["title"], TITLE_LETTERS)
    figure.text(0.012, 1 - 0.24 / height, title, fontsize=11, va="center", family=FONTS[::-1], parse_math=False)
    axes.xaxis.grid(visible=True, color="#e3e3e3")
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _bar(axes: "Axes", row: int, bar: dict[str, Any], longest: float) -> None:
    """Broken ones are red and crossed, waits empty and hatched: told by shape and by the word behind, not by colour alone."""
    broken = bar["outcome"] in BROKEN
    hatch = "xxx" if broken else {"wait": "////", "gap": ".."}.get(bar["kind"])
    axes.barh(
        row,
        max(bar["seconds"], longest / 400),
        left=bar["start"],
        height=0.62 if bar["kind"] == "step" else 0.46,
        color="#ffffff" if broken else FILLS[bar["kind"]],
        edgecolor=BAD if broken else FILLS["step"],
        hatch=hatch,
        linewidth=0.8,
    )
    end = bar["start"] + max(bar["seconds"], longest / 400)
    words = _seconds(bar["seconds"]) + ("" if bar["outcome"] == "done" else f", {bar['outcome']}")
    axes.text(end + longest * 0.01, row, words, fontsize=8, color=BAD if broken else GREY, **LOOK)
    indent = INDENT[bar["kind"]]
    label = _printable(bar["label"], LABEL_LETTERS - indent)
    axes.text(_label_at(indent, longest), row, label, fontsize=8.5, family=FONTS, **LOOK)


def _told(axes: "Axes", row: int, bar: dict[str, Any], longest: float) -> None:
    """What a bar's own row has no room for, such as who was waited for."""
    words = _printable(bar["detail"], DETAIL_LETTERS)
    at = _label_at(INDENT[bar["kind"]] + 2, longest)
    axes.text(at, row, words, fontsize=8, family=FONTS, color=GREY, **LOOK)


def _label_at(indent: int, longest: float) -> float:
    return (0.012 - LABELS + indent * LETTER_INCHES / WIDTH_INCHES) / BARS * longest


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _printable(text: str, letters: int) -> str:
    """So many letters of a text; what the fonts cannot draw, or not as it is read, is shown by its number."""
    drawn = "".join(letter if _is_drawn(letter) else f"\\u{ord(letter):04x}" for letter in text[: 2 * letters])
    return drawn if len(drawn) <= letters and len(text) <= 2 * letters else drawn[: letters - 1] + "…"


def _is_drawn(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable()
    return letter.isprintable() and unicodedata.bidirectional(letter) != "AL" and ord(letter) in _glyphs()


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import findfont
    from matplotlib.font_manager import get_font

    return frozenset(number for font in FONTS for number in get_font(findfont(font)).get_charmap())


if __name__ == "__main__":
    draw(json.load(sys.stdin)).savefig(sys.stdout.buffer, format="png")
