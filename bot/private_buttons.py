"""Buttons in private answers: each carries a one-time word, so it works for the person it was given to, once.

Those that only look, at the next page of an answer, work as often as they are pressed: what they say is kept here, and the
button carries nothing but the word for it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.intake import Act
from bot.store import Store
from commands.event_pages import EXPORT
from commands.event_pages import NEWER
from commands.event_pages import OLDER
from commands.page import Button
from commands.page import Page

LOOKS = frozenset({NEWER, OLDER, EXPORT})
"""The verbs of buttons that stand for a line which begins with `history`."""

_LOOK = re.compile(f"({'|'.join(sorted(LOOKS))}) (?P<word>[0-9a-f]{{16}})")

USED = "That private button was used already or was given to somebody else."


def with_words(store: Store, page: Page, person: str) -> Page:
    """The page with buttons that work for this person (an actor's id), once each."""
    buttons: Sequence[Button] = [replace(button, value=_value(store, button, person)) for button in page.buttons]
    return replace(page, buttons=buttons) if buttons else page


def _value(store: Store, button: Button, person: str) -> str:
    word = store.give(button.value, person)
    return f"{button.verb} {word}" if button.verb in LOOKS else f"{button.value} {word}"


def line_behind(store: Store, act: Act) -> str | None:
    """The line that such a button stands for; None where it was not given to this person."""
    found = _LOOK.fullmatch(act.value)
    value = store.value_of(found["word"], act.actor.id) if found else None
    verb, _, line = (value or "").partition(" ")
    return line if verb == act.verb and line.startswith("history ") else None


def may_use(store: Store, act: Act, word: str) -> bool:
    """Whether this person may use the button still. It is not used up: its form may be closed, or filled in wrongly."""
    return store.holds(word, act.value.removesuffix(f" {word}"), act.actor.id)


def use(store: Store, act: Act, word: str) -> bool:
    """Use the button up; whether this person could."""
    return store.take(word, act.value.removesuffix(f" {word}"), act.actor.id)
