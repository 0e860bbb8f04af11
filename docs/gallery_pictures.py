"""Pictures of the cards: drawn by the sandbox's own page in Chromium, wide and narrow, and made small."""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gallery_timeline import file_of
from PIL import Image

from sandbox.slack_workspace import demo_workspace

INDEX = Path(__file__).resolve().parent.parent / "sandbox/static/index.html"
WIDTHS = {"wide": 720, "narrow": 360}
COLOURS = 64
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def take_pictures(cards: Sequence[dict[str, Any]], folder: Path) -> bool:
    """Put NAME-wide.png and NAME-narrow.png into the folder; False, with the reason printed, where that cannot be done."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or find_spec("playwright") is None:
        print("no pictures: they need Chromium and the package playwright", file=sys.stderr)
        return False
    from playwright.sync_api import sync_playwright

    found = [_drawn(card) for card in cards]
    for old in folder.glob("*.png"):
        old.unlink()
    with (
        sync_playwright() as playwright,
        contextlib.closing(
            playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        ) as chromium,
    ):
        for name, width in WIDTHS.items():
            page = chromium.new_page(viewport={"width": width + 40, "height": 900}, device_scale_factor=1)
            page.goto(f"{INDEX.as_uri()}?cards")
            for card, drawn in zip(cards, found, strict=True):
                path = folder / f"{card['name']}-{name}.png"
                page.evaluate(
                    "([cards, options]) => window.showCards(cards, options)", [[drawn], _options(card, width)]
                )
                page.wait_for_function("[...document.images].every((one) => one.complete)")
                page.locator('[data-card="0"]').screenshot(path=path)
                _make_small(path)
    return True


def _drawn(card: dict[str, Any]) -> dict[str, Any]:
    """A card as the page takes it."""
    wanted = ("kind", "text", "blocks", "at", "only_for_me", "submit", "close", "errors")
    files = [file_of(card["timeline"])] if "timeline" in card else []
    drawn = {key: card[key] for key in wanted if key in card}
    return {"title": card.get("modal_title", card["title"]), "files": files, **drawn}


def _options(card: dict[str, Any], width: int) -> dict[str, Any]:
    workspace = demo_workspace()
    names = {user: person.name for user, person in workspace.people.items()}
    return {"names": names, "width": width, "now": card["at"], "zone": "UTC"}


def _make_small(path: Path) -> None:
    """With few colours a picture of text is as clear, and a third of the size."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
