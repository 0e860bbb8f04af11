"""The gallery in docs/ shows what the bot says today: every card is played again and compared."""

import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.postgres import LocalPostgres

DOCS = Path(__file__).resolve().parent.parent / "docs"
STALE = "run: python docs/make_gallery.py"
MOST_BYTES = 4_000_000


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    import make_gallery

    yield make_gallery
    for name in [name for name in sys.modules if name.startswith(("gallery_", "make_gallery"))]:
        del sys.modules[name]


def test_gallery_shows_every_card_as_it_is_today(gallery: Any, local_postgres: LocalPostgres) -> None:
    kept = {card["name"]: card for card in gallery.kept_cards()}

    played = {card["name"]: card for card in gallery.play(local_postgres)}

    assert list(played) == list(kept), STALE
    for name, card in played.items():
        assert card == kept[name], f"{name} looks different now; {STALE}"


def test_page_and_pictures_are_of_these_cards(gallery: Any) -> None:
    cards = gallery.kept_cards()
    sources = {card["name"]: gallery.source_of(card) for card in cards}
    pictures = {path.name for path in (DOCS / "gallery").glob("*.png")}

    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page(cards), STALE
    assert gallery.kept_sources() == sources, f"the pictures are of other cards; {STALE}"
    assert pictures == {f"{name}-{width}.png" for name in sources for width in ("wide", "narrow")}, STALE


def test_gallery_is_small_and_has_no_secret_and_no_machine_in_it(gallery: Any) -> None:
    assert sum(path.stat().st_size for path in (DOCS / "gallery").iterdir()) < MOST_BYTES
    text = gallery.CARDS.read_text(encoding="utf-8")

    assert not any(word in text for word in ("xoxb-", "xapp-", "postgresql://", "/tmp/", "/root", "127.0.0.1:"))  # noqa: S108
    assert "slack:T0" not in text, "a person is shown by a raw id"
    assert {card["kind"] for card in gallery.kept_cards()} == {"message", "modal", "home"}
