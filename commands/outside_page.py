"""The page of a change that nobody asked for here: what is different on a target, and what to do about it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit import Event
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import When
from ops.rehearsal.report import ChangedObject
from ops.schema.naming import words_of

OBJECTS_SHOWN = 10
SENTENCES_SHOWN = 10


def outside_page(event: Event) -> Page:
    """What a `changed_outside` event tells, for everybody who watches the deploys of its target."""
    target, environment = f"{event.project}/{event.environment}", event.environment or ""
    data = event.data or {"what": ["What it was has been erased from the log."], "objects": []}
    body: list[Part] = [Listing("What is different", _some([(one,) for one in data["what"]], SENTENCES_SHOWN))]
    if data["objects"]:
        lines: list[Line] = [object_line(one) for one in data["objects"]]
        body.append(Listing("In the schema", _some(lines, OBJECTS_SHOWN)))
    return Page(
        f"{target} was changed outside of Countersign",
        facts=[("Noticed", (When(event.at),))],
        body=body,
        next=(
            "find out who did it. ",
            Command(f"drift {environment}"),
            " shows the whole difference; put what shall stay into a migration. A plan made before no longer holds.",
        ),
        tone="warning",
    )


def outside_line(event: Event) -> Line:
    """The same in one line."""
    data = event.data or {"what": ["what it was has been erased"]}
    return (" ".join(data["what"][:2]),)


def object_line(found: Mapping[str, Any]) -> Line:
    """One changed object: `changed table public.orders: adds column note text`."""
    one = ChangedObject(found["change"], found["kind"], found["schema"], found["name"], found["words"])
    return (f"{one.change} {words_of(one)}{f': {one.words}' if one.words else ''}",)


def outside_json(event: Event) -> dict[str, Any]:
    """The same for programs."""
    data = event.data or {}
    at: datetime = event.at
    return {
        "at": at.isoformat(),
        "target": f"{event.project}/{event.environment}",
        "what": list(data.get("what", [])),
        "objects": list(data.get("objects", [])),
    }


def _some(lines: list[Line], most: int) -> list[Line]:
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], (f"and {more} more",)]
