"""Patterns of static files: `**` is anything, `*` and `?` stay within one folder, `[ab]` is one letter of several.

A path is compared letter by letter with all places of the pattern at once, so that the time does not depend on what they say.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

LONGEST_PATTERN = 300
_MOST_STEPS = 10_000


class BadPatternError(Exception):
    """A pattern cannot be read: one sentence that says why."""


class StaticPattern:
    """One pattern. Raises BadPatternError."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST_PATTERN:
            raise BadPatternError(f"a pattern of static files is longer than {LONGEST_PATTERN} letters")
        self._parts = _parts(pattern)
        self._stars = sum(1 << place for place, part in enumerate(self._parts) if part in ("*", "**"))
        self._deep = sum(1 << place for place, part in enumerate(self._parts) if part == "**")
        self._goes_on: dict[str, int] = {}
        self._steps: dict[tuple[int, str], int] = {}

    def fits(self, path: str) -> bool:
        """Whether all of the path is as the pattern says."""
        places = self._behind_stars(1)
        for letter in path:
            step = (places, letter)
            places = self._steps[step] if step in self._steps else self._step(*step)
            if not places:
                return False
        return bool(places >> len(self._parts))

    def _step(self, places: int, letter: str) -> int:
        stay = places & (self._deep if letter == "/" else self._stars)
        found = self._behind_stars(stay | (places & self._taking(letter)) << 1)
        if len(self._steps) >= _MOST_STEPS:
            self._steps.clear()
        self._steps[places, letter] = found
        return found

    def _behind_stars(self, places: int) -> int:
        return places | (places & self._stars) << 1

    def _taking(self, letter: str) -> int:
        """The places, one bit each, whose part is this one letter."""
        if letter not in self._goes_on:
            self._goes_on[letter] = sum(1 << place for place, part in enumerate(self._parts) if _is(part, letter))
        return self._goes_on[letter]


def is_static(patterns: Iterable[str], path: str) -> bool:
    """Whether a file is one of those that these patterns of static files name; both count from the same folder. A pattern
    that cannot be read names none."""
    return any(_fits(pattern, path) for pattern in patterns)


def _fits(pattern: str, path: str) -> bool:
    try:
        return _read(pattern).fits(path)
    except BadPatternError:
        return False


@lru_cache(maxsize=64)
def _read(pattern: str) -> StaticPattern:
    return StaticPattern(pattern)


def _is(part: str | re.Pattern[str], letter: str) -> bool:
    if isinstance(part, re.Pattern):
        return part.fullmatch(letter) is not None
    return letter != "/" if part == "?" else part == f"={letter}"


def _parts(pattern: str) -> list[str | re.Pattern[str]]:
    """`*`, `**`, `?`, a set of letters, or `=` and the letter that it is. No two stars stand beside each other."""
    found: list[str | re.Pattern[str]] = []
    place = 0
    while place < len(pattern):
        letter = pattern[place]
        end = pattern.find("]", place + 1) if letter == "[" else -1
        if letter == "*":
            behind = place + len(pattern[place:]) - len(pattern[place:].lstrip("*"))
            found.append("**" if behind - place > 1 else "*")
            place = behind
        elif end > place + 1:
            found.append(_letters(pattern[place + 1 : end]))
            place = end + 1
        else:
            found.append("?" if letter == "?" else f"={letter}")
            place += 1
    return found


def _letters(inner: str) -> re.Pattern[str]:
    said = re.sub(r"([\\\[&~|])", r"\\\1", inner)
    try:
        return re.compile(f"[{'^' + said[1:] if said.startswith('!') else said}]", re.DOTALL)
    except re.error as error:
        raise BadPatternError(f"the pattern of static files with [{inner[:60]}] cannot be read") from error
