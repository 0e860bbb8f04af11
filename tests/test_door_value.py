"""A value that a guest says at the door beside the words: what cannot be set is answered, and told nowhere."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_door import House
from test_door import open_house

from ops.values import MOST_BYTES


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path / "house")


BAD_VALUES = {
    "too long": base64.b64encode(b"x" * (MOST_BYTES + 1)).decode(),
    "empty": "",
    "no text": base64.b64encode(b"hunter2\xff").decode(),
    "no Base64": "hunter2!",
    "no string": ["hunter2"],
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_value_that_cannot_be_set_is_answered(house: House, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with house.guest() as guest, guest.makefile("rb") as answers:
        answers.readline()
        guest.sendall(
            json.dumps({"words": ["secrets", "dev", "set", "KEY"], "value": BAD_VALUES[name]}).encode() + b"\n"
        )
        answer = json.loads(answers.readline())

    assert answer["reply"]["reason"] == "bad_usage"
    assert answer["exit_code"] == 2
    assert "hunter2" not in json.dumps(answer) + caplog.text
    assert not house.events("commanded")
