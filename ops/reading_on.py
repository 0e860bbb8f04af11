"""What many events of a stream come to, remembered, so that a stream which is read again is read on from there.

A run at work writes thousands of events, and several threads ask how far it is all the time: reading all of them each time
would take more than the run itself does.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from typing import TypeVar
from weakref import WeakKeyDictionary

from audit import Event
from audit import Reader
from audit import View

WORTH_EVENTS = 50
"""A stream of fewer events is read as quickly as it is looked for."""
MOST_STREAMS = 32

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Known:
    """What the events of a stream come to up to the one at `place`, whose hash says that it is still that one."""

    place: int
    hash: str
    value: Any


_KNOWN: WeakKeyDictionary[Reader, OrderedDict[str, _Known]] = WeakKeyDictionary()


def read_on(
    view: View, stream: str, first: Callable[[Event], Value], then: Callable[[Value, Event], Value], reader: View
) -> Value | None:
    """What the events of a stream come to, `first` the first one and `then` each other one; None where there are none.

    `reader` is who remembers. Only a Reader does: what is seen inside a transaction may be taken back. Values must never
    be changed.
    """
    memory = _KNOWN.setdefault(reader, OrderedDict()) if isinstance(reader, Reader) else None
    known = memory.get(stream) if memory else None
    events = view.events(stream=stream, since_place=known.place if known else 1)
    if known is not None and (not events or events[0].hash != known.hash):  # another log is in the place of that one
        known, events = None, view.events(stream=stream)
    if not events:
        return None
    value: Value = first(events[0]) if known is None else known.value
    for event in events[1:]:
        value = then(value, event)
    if memory is not None and events[-1].place >= WORTH_EVENTS:
        memory[stream] = _Known(events[-1].place, events[-1].hash, value)
        with suppress(KeyError):  # another thread was as quick
            memory.move_to_end(stream)
            while len(memory) > MOST_STREAMS:
                memory.popitem(last=False)
    return value
