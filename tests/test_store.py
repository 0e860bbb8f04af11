"""The card store: what is in it can be made again, so it is never in the way."""

from pathlib import Path

import pytest

from bot.store import Card
from bot.store import Store

CARD = Card("R-1", "C0DEPLOYS", "1.1", "hash", None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def test_a_broken_store_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database" * 100)

    store = Store(path)
    store.keep(CARD)

    assert store.card("R-1") == CARD


def test_only_the_newest_message_of_a_request_is_its_card(store: Store) -> None:
    store.keep(CARD)
    store.keep(Card("R-1", "C0DEPLOYS", "2.2", "hash", None))

    assert store.card_at("C0DEPLOYS", "1.1") is None
    assert store.card_at("C0DEPLOYS", "2.2") is not None


def test_a_private_button_works_once_for_one_person_and_one_value(store: Store) -> None:
    word = store.give("approve R-1 abc", "slack:T0ACME/U0BEN")

    assert not store.take(word, "approve R-1 abc", "slack:T0ACME/U0CHI")
    assert not store.take(word, "approve R-2 abc", "slack:T0ACME/U0BEN")
    assert store.take(word, "approve R-1 abc", "slack:T0ACME/U0BEN")
    assert not store.take(word, "approve R-1 abc", "slack:T0ACME/U0BEN")


def test_whether_a_private_button_may_be_used_is_asked_without_using_it_up(store: Store) -> None:
    word = store.give("approve R-1 abc", "slack:T0ACME/U0BEN")

    assert [store.holds(word, "approve R-1 abc", "slack:T0ACME/U0BEN") for _ in range(2)] == [True, True]
    assert not store.holds(word, "approve R-1 abc", "slack:T0ACME/U0CHI")
    assert store.take(word, "approve R-1 abc", "slack:T0ACME/U0BEN")
    assert not store.holds(word, "approve R-1 abc", "slack:T0ACME/U0BEN")


def test_nobody_else_may_read_the_store(tmp_path: Path, store: Store) -> None:
    assert (tmp_path / "state.db").stat().st_mode & 0o077 == 0
