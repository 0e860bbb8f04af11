"""The quick way to canonical JSON writes what the package that defines it for us writes, or leaves it to that."""

import random
from typing import Any

import pytest
import rfc8785

from audit.event import canonical

LETTERS = 'aZ"\\/ \b\f\n\r\t\x00\x1f\x7f\x80é\u2028\u2029\ud7ff\ue000\uffff𝄞🦊'


def value_of(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value: texts of odd letters, numbers at their edges, nested lists and objects."""
    texts = ["".join(dice.choices(LETTERS, k=dice.randrange(6))) for _ in range(3)]
    numbers = [0, -1, 2**53 - 1, 1 - 2**53, dice.randrange(10**9), 0.1, 1e21, -0.0, 1.0]
    plain = [*texts, *numbers, True, False, None]
    if depth > 3 or dice.random() < 0.3:
        return dice.choice(plain)
    inner = [value_of(dice, depth + 1) for _ in range(dice.randrange(4))]
    return dice.choice([inner, {dice.choice([*texts, "seq", "at"]): held for held in inner}])


@pytest.mark.parametrize("seed", range(5))
def test_same_bytes_as_the_package(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - test data
    for _ in range(400):
        value = value_of(dice)
        assert canonical(value) == rfc8785.dumps(value)


def test_keys_beyond_ascii_are_sorted_as_utf_16() -> None:
    assert canonical({"\ue000": 1, "🦊": 2, "a": 3}) == '{"a":3,"🦊":2,"\ue000":1}'.encode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**53, id="a number that JSON cannot hold"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param({"text": "\ud83d"}, id="half a surrogate pair"),
        pytest.param({1: "x"}, id="a key that is no text"),
        pytest.param([object()], id="not JSON"),
        pytest.param(b"bytes", id="bytes"),
    ],
)
def test_what_has_no_form_is_refused_by_both(value: Any) -> None:
    for write in (canonical, rfc8785.dumps):
        with pytest.raises((ValueError, TypeError)):
            write(value)
