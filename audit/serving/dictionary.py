"""What every kind of event and every column means, taken from the models themselves."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any
from typing import get_args
from typing import get_origin

from audit.kinds import KINDS

LOG_TABLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "event": (
        "Everything that happened, in order. It can only be added to.",
        {
            "seq": "Its number, from 1 without a gap.",
            "id": "Given by whoever caused it; the same act twice is one event.",
            "at": "When, in UTC; never before the event before it.",
            "kind": "What happened; the dictionary tells each.",
            "actor": "Who did it, as the platform proved it: slack:, ci:, os: or system:.",
            "project": "The project that it is about.",
            "environment": "Which of its environments.",
            "request": "The request that it belongs to.",
            "stream": "The stream that it belongs to: a request, a target, people, bot or all.",
            "place": "Its place in that stream, from 1 without a gap.",
            "commitment": "SHA-256 of salt and data: what the data was, also when it is erased.",
            "previous": "The hash of the event before.",
            "hash": "SHA-256 over all of this: changing anything changes every hash that follows.",
        },
    ),
    "payload": (
        "What events say, masked; the only part that can ever be erased.",
        {"seq": "The event.", "salt": "Hashed with the data.", "data": "JSON, as the dictionary tells for its kind."},
    ),
    "log": ("The log's own id.", {"id": "No two logs have the same."}),
}
"""The log's own tables and columns."""


@dataclass(frozen=True)
class KindTold:
    """A kind of event in words: when it is recorded, and its fields with what they hold."""

    name: str
    about: str
    fields: tuple[tuple[str, str], ...]


def kinds_told() -> list[KindTold]:
    """Every kind of event, by name."""
    return [
        KindTold(
            name,
            " ".join((inspect.getdoc(model) or "").split()),
            tuple((field, _type_told(one.annotation)) for field, one in model.model_fields.items()),
        )
        for name, model in sorted(KINDS.items())
    ]


_WORDS = {str: "text", int: "number", float: "number", bool: "yes or no", Any: "any", NoneType: "nothing"}


def _type_told(annotation: Any) -> str:
    """A type in words."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    inner = [_type_told(one) for one in get_args(annotation) if not isinstance(one, str)]
    match get_origin(annotation):
        case origin if origin is list:
            return f"list of {inner[0]}" if inner else "list"
        case origin if origin is dict:
            return "object"
        case _ if get_args(annotation) and isinstance(get_args(annotation)[0], str):
            return " | ".join(map(str, get_args(annotation)))
        case _:
            return " or ".join(inner) or "object"
