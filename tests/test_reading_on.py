"""A stream that is read again is read on from where it was: what comes out is what reading all of it comes to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_support import commanded

from audit import Draft
from audit import Event
from audit import Log
from audit import Reader
from audit import View
from ops.reading_on import MOST_STREAMS
from ops.reading_on import WORTH_EVENTS
from ops.reading_on import read_on

Told = tuple[str, ...]


class Counted:
    """Folds a stream to the texts of its events, and counts how many events it was shown."""

    def __init__(self) -> None:
        self.shown = 0

    def first(self, event: Event) -> Told:
        self.shown += 1
        return (str((event.data or {})["text"]),)

    def then(self, told: Told, event: Event) -> Told:
        return told + self.first(event)

    def read(self, view: View, stream: str, *, reader: View | None = None) -> Told | None:
        self.shown = 0
        return read_on(view, stream, self.first, self.then, reader or view)


def fill(log: Log, stream: str, *texts: str) -> Told:
    log.append([commanded(text, stream=stream) for text in texts])
    return texts


def many(word: str, number: int = WORTH_EVENTS) -> list[str]:
    return [f"{word} {each}" for each in range(number)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    Log.create(tmp_path / "audit.db")
    with Log.open(tmp_path / "audit.db") as log:
        yield log


@pytest.fixture
def reader(log: Log) -> Reader:
    return Reader(log.path)


def test_only_what_is_new_is_folded_and_all_of_it_is_told(log: Log, reader: Reader) -> None:
    counted, texts = Counted(), fill(log, "a", *many("first"))
    assert (counted.read(reader, "a"), counted.shown) == (texts, len(texts))
    assert (counted.read(reader, "a"), counted.shown) == (texts, 0)

    more = fill(log, "a", "later", "last")
    fill(log, "b", "of another stream")
    assert (counted.read(reader, "a"), counted.shown) == (texts + more, 2)
    with reader.together() as one:
        assert (counted.read(one, "a", reader=reader), counted.shown) == (texts + more, 0)


def test_a_stream_without_events_comes_to_nothing_and_a_short_one_is_read_each_time(log: Log, reader: Reader) -> None:
    counted = Counted()
    assert counted.read(reader, "a") is None
    texts = fill(log, "a", *many("short", WORTH_EVENTS - 1))
    for _ in range(2):
        assert (counted.read(reader, "a"), counted.shown) == (texts, len(texts))


@pytest.mark.parametrize("more", [0, 7], ids=["shorter", "longer"])
def test_another_log_in_its_place_is_read_from_the_first_event(
    log: Log, reader: Reader, tmp_path: Path, more: int
) -> None:
    counted = Counted()
    fill(log, "a", *many("old"))
    counted.read(reader, "a")
    log.close()

    Log.create(tmp_path / "new.db")
    with Log.open(tmp_path / "new.db") as new:
        texts = fill(new, "a", *many("new", WORTH_EVENTS - 5 + more))
    for file in tmp_path.glob("audit.db*"):
        file.unlink()
    (tmp_path / "new.db").rename(log.path)

    assert (counted.read(reader, "a"), counted.shown) == (texts, len(texts))


def test_what_is_seen_inside_a_transaction_is_not_remembered(log: Log, reader: Reader) -> None:
    texts, counted, shown = fill(log, "a", *many("kept")), Counted(), []

    def decide(view: View) -> list[Draft]:
        shown.append((counted.read(view, "a"), counted.shown))
        return []

    for _ in range(2):
        log.transact(decide)
    assert shown == [(texts, len(texts))] * 2


def test_of_many_streams_the_last_ones_are_remembered(log: Log, reader: Reader) -> None:
    counted = Counted()
    for number in range(MOST_STREAMS + 1):
        fill(log, str(number), *many("text"))
        counted.read(reader, str(number))
    counted.read(reader, str(MOST_STREAMS))
    assert counted.shown == 0
    counted.read(reader, "0")
    assert counted.shown == WORTH_EVENTS
