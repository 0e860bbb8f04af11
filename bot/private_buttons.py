"""Buttons in private answers: each carries a one-time word, so it works for the person it was given to, once."""

from collections.abc import Sequence
from dataclasses import replace

from bot.intake import Act
from bot.store import Store
from commands.page import Button
from commands.page import Page

USED = "That private button was used already or was given to somebody else."


def with_words(store: Store, page: Page, person: str) -> Page:
    """The page with buttons that work for this person (an actor's id), once each."""
    buttons: Sequence[Button] = [
        replace(button, value=f"{button.value} {store.give(button.value, person)}") for button in page.buttons
    ]
    return replace(page, buttons=buttons) if buttons else page


def may_use(store: Store, act: Act, word: str) -> bool:
    """Whether this person may use the button still. It is not used up: its form may be closed, or filled in wrongly."""
    return store.holds(word, act.value.removesuffix(f" {word}"), act.actor.id)


def use(store: Store, act: Act, word: str) -> bool:
    """Use the button up; whether this person could."""
    return store.take(word, act.value.removesuffix(f" {word}"), act.actor.id)
