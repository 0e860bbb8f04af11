"""Makes docs/gallery.md and docs/gallery/, every card as the real bot sends it: `python docs/make_gallery.py`.

With `--no-pictures` it leaves the pictures alone, which then are those of an earlier card where it changed.
Two runs write the same bytes, so that a test can tell whether the gallery is fresh without a browser.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from gallery_normal import Normal
from gallery_pictures import take_pictures
from gallery_scenes import SCENES
from gallery_stage import story
from gallery_timeline import CARD

from sandbox.postgres import LocalPostgres

DOCS = Path(__file__).resolve().parent
CARDS = DOCS / "gallery" / "cards.json"
PICTURES = DOCS / "gallery" / "pictures.json"
PAGE = DOCS / "gallery.md"


def play(postgres: LocalPostgres | None = None) -> list[dict[str, Any]]:
    """All cards in order: `name`, `title`, `when`, and what is shown, in its lasting form."""
    cards = []
    with story(postgres) as told:
        for scene in SCENES:
            began = time.monotonic()
            if not scene.at_once:
                told.tick()
            shown = Normal(told).card(scene.play(told))
            cards.append({"name": scene.name, "title": scene.title, "when": scene.when, **shown})
            print(f"{scene.name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    after = 1 + next(number for number, card in enumerate(cards) if card["name"] == "backup-proven")
    return [*cards[:after], CARD, *cards[after:]]


def kept_cards() -> list[dict[str, Any]]:
    """The cards of the last time."""
    found: list[dict[str, Any]] = json.loads(CARDS.read_text(encoding="utf-8"))
    return found


def kept_sources() -> dict[str, str]:
    """Which card each picture is of, by the card's name."""
    found: dict[str, str] = json.loads(PICTURES.read_text(encoding="utf-8"))
    return found


def written(value: Any) -> str:
    """JSON as it stands in the files."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def source_of(card: dict[str, Any]) -> str:
    """What a picture is of: the hash of its card."""
    return hashlib.sha256(written(card).encode()).hexdigest()


def page(cards: list[dict[str, Any]]) -> str:
    """docs/gallery.md."""
    parts = [
        "# What people see\n",
        "Every card, answer and form of Countersign in Slack, wide and narrow, as the real bot sends them to the sandbox's",
        "Slack. `python docs/make_gallery.py` makes this page; a test fails when it is not fresh. Times, hashes, sizes and",
        "durations are made the same for every run.\n",
        *(f"- [{card['title']}](#{_anchor(card['title'])})" for card in cards),
    ]
    for card in cards:
        wide, narrow = (f"gallery/{card['name']}-{width}.png" for width in ("wide", "narrow"))
        parts += [
            f"\n## {card['title']}\n",
            f"{card['when']}\n",
            f"![{card['title']}, wide]({wide})\n",
            f"<details><summary>narrow</summary>\n\n![{card['title']}, narrow]({narrow})\n\n</details>",
        ]
    return "\n".join(parts) + "\n"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def main() -> None:
    cards = play()
    CARDS.parent.mkdir(exist_ok=True)
    CARDS.write_text(written(cards), encoding="utf-8")
    PAGE.write_text(page(cards), encoding="utf-8")
    if "--no-pictures" not in sys.argv[1:]:
        sources = {card["name"]: source_of(card) for card in cards}
        if take_pictures(cards, CARDS.parent):
            PICTURES.write_text(written(sources), encoding="utf-8")


if __name__ == "__main__":
    main()
