"""Columns that stand elsewhere in their table than before: ADD COLUMN puts a column last, and nothing moves it back.

Only for columns that the reversal adds is that so. Two that are there throughout and have changed places have changed names.
"""

import re
from collections.abc import Mapping

from ops.catalog import catalog_lines
from ops.catalog import sha256_of_lines
from ops.database import Connection
from ops.schema.grants import quoted
from ops.schema.model import Entry
from ops.schema.model import Schema
from ops.schema.tables import read_table

_PLACE = re.compile(r'(\(column,.*?,"\()(\d+)(,)', re.DOTALL)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def moved_tables(
    connection: Connection, reversed_from: Schema, now: Schema, before: Schema, sha256: str
) -> tuple[str, ...]:
    """The tables whose columns stand in another order than before, if with the old order the schema of this session has
    this very hash; none where something else differs too. `reversed_from` is what the reversal began with."""
    places = _places(reversed_from, now, before)
    lines = [(kind, name, _moved(kind, name, line, places)) for kind, name, line in catalog_lines(connection)]
    return tuple(sorted(places)) if places and sha256_of_lines(lines) == sha256 else ()


def _places(reversed_from: Schema, now: Schema, before: Schema) -> dict[str, dict[int, int]]:
    """From the place that a column has now to the one that it had, by table as the catalog words its name."""
    found = {}
    for key, entry in now.entries.items():
        earlier = before.entries.get(key)
        if key.kind != "table" or earlier is None:
            continue
        tables = read_table(entry.definition), read_table(earlier.definition)
        if tables[0] is None or tables[1] is None:
            continue
        names, old = list(tables[0].columns), list(tables[1].columns)
        if (
            names != old
            and sorted(names) == sorted(old)
            and _only_added_moved(reversed_from.entries.get(key), names, old)
        ):
            moved = {place: old.index(name) + 1 for place, name in enumerate(names, 1)}
            found[".".join(_worded(part) for part in (key.schema, key.name))] = moved
    return found


def _only_added_moved(entry: Entry | None, names: list[str], old: list[str]) -> bool:
    """Whether the columns that were there when the reversal began stand in their old order, and all others behind them."""
    table = read_table(entry.definition) if entry is not None else None
    if table is None:
        return False
    stayed = [name for name in old if name in table.columns]
    return names[: len(stayed)] == stayed


def _moved(kind: str, name: str, line: str, places: Mapping[str, Mapping[int, int]]) -> str:
    if kind != "column" or name not in places:
        return line
    return _PLACE.sub(lambda found: f"{found[1]}{places[name].get(int(found[2]), 0)}{found[3]}", line, count=1)


def _worded(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quoted(name)
