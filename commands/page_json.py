"""A page as JSON: the process that answers makes the page, the terminal that shows it reads it.

Strict on purpose: whatever the two do not have in common is an error, never a page with something left out.
"""

import types
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from dataclasses import is_dataclass
from datetime import datetime
from functools import cache
from typing import Any
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from commands.page import Listing
from commands.page import Page
from commands.page import Table

FORMAT = 4
"""Of the page and of what goes through the door around it; it changes with the fields of commands/page.py."""


def page_json(page: Page) -> Any:
    """A page as JSON: each class as an object with its name under `is`."""
    return _told(page)


def _told(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return {"is": type(value).__name__, **{one.name: _told(getattr(value, one.name)) for one in fields(value)}}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_told(one) for one in value]
    return value


def read_page(found: Any) -> Page:
    """The page that `page_json` told. Raises ValueError for anything that it would not have told."""
    page: Page = _read(found, Page)
    for part in page.body:
        match part:
            case Listing(_, lines, marks) if marks and len(marks) != len(lines):
                raise ValueError("a mark for some lines only")
            case Table(_, columns, rows) if any(len(row) != len(columns) for row in rows):
                raise ValueError("a row with other columns")
    return page


def _read(found: Any, wanted: Any) -> Any:
    """A value of the wanted type, as the fields' annotations say it."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in {types.UnionType, Union}:
        return _read(found, _chosen(found, inner))
    if origin is None:
        return _read_one(found, wanted)
    if origin is Literal:
        if found in inner:
            return found
    elif isinstance(found, list):
        if origin is not tuple or inner[-1] is ...:
            return tuple(_read(one, inner[0]) for one in found)
        if len(found) == len(inner):
            return tuple(_read(one, kind) for one, kind in zip(found, inner, strict=True))
    raise ValueError(f"no {wanted}")


def _chosen(found: Any, kinds: Sequence[Any]) -> Any:
    """Which of several types a value says it is."""
    for kind in kinds:
        if (
            isinstance(kind, type)
            and is_dataclass(kind)
            and isinstance(found, dict)
            and found.get("is") == kind.__name__
        ):
            return kind
        if (kind is str and isinstance(found, str)) or (kind is type(None) and found is None):
            return kind
        if get_origin(kind) is Literal and found in get_args(kind):
            return kind
    raise ValueError("none of those known")


def _read_one(found: Any, wanted: type) -> Any:
    if is_dataclass(wanted):
        hints = _hints(wanted)
        if isinstance(found, dict) and found.keys() == {"is", *hints} and found["is"] == wanted.__name__:
            return wanted(**{name: _read(found[name], hint) for name, hint in hints.items()})
    elif wanted is datetime and isinstance(found, str):
        moment = datetime.fromisoformat(found)
        if moment.tzinfo is not None:
            return moment
    elif isinstance(found, wanted):
        return found
    raise ValueError(f"no {wanted.__name__}")


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
