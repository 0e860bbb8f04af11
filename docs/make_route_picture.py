"""Draws docs/route.svg, the picture of the route in the README: `python docs/make_route_picture.py`."""

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT, STEP, TOP = 960, 318, 188, 64
INK, GOLD, BROWN = "#1f3a5f", "#8a6d1f", "#5c4813"
STEPS = [
    (
        "Ana types",
        "/migrate push prod",
        ["The plan: commit, files,", "target's state, policy.", "Its SHA-256 is the digest."],
    ),
    (
        "Everybody sees",
        "the card in #deploys",
        ["Files, hazards, last backup.", "The full SQL is in the", "thread before Approve is."],
    ),
    (
        "Ben presses",
        "Approve for prod",
        ["Asked live: who is Ben?", "Computed again: is it", "still the same digest?"],
    ),
    (
        "Countersign proves",
        "a backup",
        ["Dumped in one snapshot,", "restored on the side,", "every table counted."],
    ),
    (
        "Then it runs",
        "the migrations",
        ["Under the target's lock,", "file by file; health before", "and after; or it says why."],
    ),
]
LOG = (
    "Every act is written down before it is done, chained by SHA-256: "
    "who asked, who allowed it, what ran, what came of it."
)


def text(x: int, y: int, words: str, fill: str, **more: str) -> str:
    """One line of text; `more` are further attributes, with _ for -."""
    attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text x="{x}" y="{y}" fill="{fill}"{attributes}>{escape(words)}</text>'


def arrow(x: int, y: int, path: str, colour: str) -> str:
    return f'<path d="M{x} {y} {path}" stroke="{colour}" stroke-width="1.8" fill="none"/>'


def box(number: int, who: str, what: str, notes: list[str]) -> list[str]:
    """One step: a card with a number, two lines of heading, the notes, and its arrows."""
    x = 16 + number * STEP
    lines = [
        f'<rect x="{x}" y="{TOP}" width="{STEP - 16}" height="150" rx="10" fill="#ffffff" stroke="{INK}"/>',
        f'<circle cx="{x + 22}" cy="{TOP}" r="14" fill="{INK}"/>',
        text(x + 22, TOP + 5, str(number + 1), "#ffffff", text_anchor="middle", font_weight="bold"),
        text(x + 14, TOP + 40, who, "#4a5568"),
        text(x + 14, TOP + 62, what, INK, font_weight="bold"),
        *(text(x + 14, TOP + 92 + 19 * place, note, "#2d3748", font_size="11.5") for place, note in enumerate(notes)),
        arrow(x + 86, TOP + 150, "l0 22 m-4 -5 l4 5 l4 -5", GOLD),
    ]
    if number < len(STEPS) - 1:
        lines.append(arrow(x + STEP - 13, TOP + 75, "l10 0 m-4 -4 l4 4 l-4 4", INK))
    return lines


def picture() -> str:
    """The whole drawing as SVG text."""
    label = "The route of a push: " + "; ".join(f"{who} {what}" for who, what, _ in STEPS)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f'  font-family="Helvetica, Arial, sans-serif" font-size="13" aria-label="{escape(label)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#f4f6fa"/>',
        text(16, 32, "What people approve is what runs", INK, font_size="17", font_weight="bold"),
        *(line for number, step in enumerate(STEPS) for line in box(number, *step)),
        f'<rect x="16" y="{TOP + 174}" width="{WIDTH - 32}" height="62" rx="10" fill="#fdf6df" stroke="{GOLD}"/>',
        text(30, TOP + 199, "The audit log (SQLite)", BROWN, font_weight="bold"),
        text(30, TOP + 221, LOG, BROWN),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("route.svg").write_text(picture())
