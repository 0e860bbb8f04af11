"""Small checks that make up the rules of `slack_rules`: each takes a JSON value and says what is wrong where."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

JSON = dict[str, Any]


class Problem(NamedTuple):
    """What Slack would say of one place in a payload; `pointer` is a JSON pointer such as /blocks/0/text."""

    message: str
    pointer: str

    def __str__(self) -> str:
        return f"{self.message} [json-pointer:{self.pointer}]"


Check = Callable[[Any, str], list[Problem]]


def string(most: int, least: int = 1) -> Check:
    """A text of `least` to `most` characters."""

    def check(value: Any, at: str) -> list[Problem]:
        if not isinstance(value, str):
            return [Problem("must be a string", at)]
        if len(value) < least:
            return [Problem(f"must be more than {least - 1} characters", at)]
        if len(value) > most:
            return [Problem(f"must be less than {most + 1} characters", at)]
        return []

    return check


def flag(value: Any, at: str) -> list[Problem]:
    """True or false, nothing that only looks like it."""
    return [] if isinstance(value, bool) else [Problem("must be a boolean", at)]


def number(value: Any, at: str) -> list[Problem]:
    """A JSON number; true and false are none, though Python thinks so."""
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    return [] if fine else [Problem("must be a number", at)]


def choice(*values: str | int) -> Check:
    """One of a closed list."""

    def check(value: Any, at: str) -> list[Problem]:
        if isinstance(value, bool) or value not in values:
            return [Problem(f"must be one of: {', '.join(map(str, values))}", at)]
        return []

    return check


def items(each: Check, most: int, least: int = 1) -> Check:
    """A list of `least` to `most` items, each of them checked."""

    def check(value: Any, at: str) -> list[Problem]:
        if not isinstance(value, list):
            return [Problem("must be an array", at)]
        if len(value) < least:
            return [Problem(f"no fewer than {least} items allowed", at)]
        if len(value) > most:
            return [Problem(f"no more than {most} items allowed", at)]
        return [problem for i, item in enumerate(value) for problem in each(item, f"{at}/{i}")]

    return check


def record(needed: Mapping[str, Check], allowed: Mapping[str, Check] | None = None) -> Check:
    """An object with all `needed` keys, perhaps some `allowed` ones, and no others."""
    known = {**needed, **(allowed or {})}

    def check(value: Any, at: str) -> list[Problem]:
        if not isinstance(value, dict):
            return [Problem("must be an object", at)]
        found = [Problem(f"missing required field: {key}", at) for key in needed if key not in value]
        for key, inner in value.items():
            if key in known:
                found += known[key](inner, f"{at}/{key}")
            else:
                found.append(Problem(f"invalid additional property: {key}", at))
        return found

    return check


def by_type(kinds: Mapping[str, Check]) -> Check:
    """An object whose `type` says which of the checks the rest of it must pass."""

    def check(value: Any, at: str) -> list[Problem]:
        if not isinstance(value, dict):
            return [Problem("must be an object", at)]
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            return [Problem(f"unsupported type: {kind}", f"{at}/type")]
        return kinds[kind]({key: inner for key, inner in value.items() if key != "type"}, at)

    return check


def plain_text(most: int) -> Check:
    """A plain_text object: no mrkdwn, no mentions."""
    return by_type({"plain_text": record({"text": string(most)}, {"emoji": flag})})


def any_text(most: int) -> Check:
    """A plain_text or a mrkdwn object."""
    return by_type(
        {
            "plain_text": record({"text": string(most)}, {"emoji": flag}),
            "mrkdwn": record({"text": string(most)}, {"verbatim": flag}),
        }
    )
