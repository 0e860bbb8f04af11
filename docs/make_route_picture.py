"""Draws docs/route.svg, the picture of the route in the README: `python docs/make_route_picture.py`."""

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, STEP, TOP = 960, 186, 64
STEPS = [
    ("Ana types", "/migrate push prod", ["The plan: commit, files,", "target's state, policy.", "Its SHA-256 is the digest."]),
    ("Everybody sees", "the card in #deploys", ["Files, hazards, last backup.", "The full SQL is in the", "thread before Approve is."]),
    ("Ben presses", "Approve for prod", ["Asked live: who is Ben?", "Computed again: is it", "still the same digest?"]),
    ("Countersign proves", "a backup", ["Dumped in one snapshot,", "restored on the side,", "every table counted."]),
    ("Then it runs", "the migrations", ["Under the target's lock,", "file by file; health before", "and after; or it says why."]),
]


def box(number: int, who: str, what: str, notes: list[str]) -> list[str]:
    """One step: a card with a number, two lines of heading and the notes."""
    x = 16 + number * (STEP + 2)
    lines = [
        f'<rect x="{x}" y="{TOP}" width="{STEP - 14}" height="150" rx="10" fill="#ffffff" stroke="#1f3a5f" stroke-width="1.5"/>',
        f'<circle cx="{x + 22}" cy="{TOP}" r="14" fill="#1f3a5f"/>',
        f'<text x="{x + 22}" y="{TOP + 5}" text-anchor="middle" fill="#ffffff" font-weight="bold">{number + 1}</text>',
        f'<text x="{x + 14}" y="{TOP + 40}" fill="#4a5568">{escape(who)}</text>',
        f'<text x="{x + 14}" y="{TOP + 62}" fill="#1f3a5f" font-weight="bold">{escape(what)}</text>',
    ]
    for place, note in enumerate(notes):
        lines.append(f'<text x="{x + 14}" y="{TOP + 92 + place * 19}" fill="#2d3748" font-size="11.5">{escape(note)}</text>')
    if number < len(STEPS) - 1:
        arrow = x + STEP - 12
        lines.append(f'<path d="M{arrow} {TOP + 75} l10 0 m-4 -4 l4 4 l-4 4" stroke="#1f3a5f" stroke-width="2" fill="none"/>')
    return lines


def picture() -> str:
    """The whole drawing as SVG text."""
    height = 318
    label = "The route of a push: " + "; ".join(f"{who} {what}" for who, what, _ in STEPS)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif" '
        f'font-size="13" role="img" aria-label="{escape(label)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#f4f6fa"/>',
        '<text x="16" y="32" font-size="17" font-weight="bold" fill="#1f3a5f">What people approve is what runs</text>',
    ]
    for number, (who, what, notes) in enumerate(STEPS):
        lines += box(number, who, what, notes)
        x = 16 + number * (STEP + 2) + 86
        lines.append(f'<path d="M{x} {TOP + 150} l0 22 m-4 -5 l4 5 l4 -5" stroke="#8a6d1f" stroke-width="1.5" fill="none"/>')
    lines += [
        f'<rect x="16" y="{TOP + 174}" width="{WIDTH - 32}" height="62" rx="10" fill="#fdf6df" stroke="#8a6d1f"/>',
        f'<text x="30" y="{TOP + 199}" font-weight="bold" fill="#5c4813">The audit log (SQLite)</text>',
        f'<text x="30" y="{TOP + 221}" fill="#5c4813">Every act is written down before it is done, chained by SHA-256: '
        "who asked, who allowed it, what ran, what came of it.</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("route.svg").write_text(picture())
