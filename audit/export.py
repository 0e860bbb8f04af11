"""Copies of events for people and programs outside: CSV for a spreadsheet, JSON lines for everything else."""

import csv
import json
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Literal
from typing import TextIO

from audit.errors import broken_event
from audit.event import COLUMNS
from audit.query import Query
from audit.view import Reader

# A spreadsheet takes a cell that begins like this for a formula, and runs it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def export(path: Path, *, format: Literal["csv", "jsonl"], query: Query, out: TextIO) -> int:
    """Writes the events that a query asks for, all columns of the view `events`, and returns how many.

    CSV: a header, then one record per event, `data` as JSON text; a cell that a spreadsheet would run gets a `'` in
    front. JSON lines: one object per event, `data` an object or null, ASCII only. Open `out` with `newline=""`.
    What is appended meanwhile is left out. Raises NoLog and what reading raises.
    """
    rows = Reader(path).rows(query)
    return write_csv(rows, out) if format == "csv" else _write_jsonl(rows, out)


def write_csv(rows: Iterator[Mapping[str, Any]], out: TextIO) -> int:
    """The CSV of `export`, of rows of the view `events` from anywhere; how many they are."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    count = 0
    for row in rows:
        writer.writerow([harmless(row[name]) for name in COLUMNS])
        count += 1
    return count


def harmless(cell: object) -> object:
    """A cell that no spreadsheet runs."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _write_jsonl(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    count = 0
    for row in rows:
        try:
            data = None if row["data"] is None else json.loads(row["data"])
        except ValueError as error:
            raise broken_event(row["seq"]) from error
        out.write(json.dumps({name: row[name] for name in COLUMNS} | {"data": data}) + "\n")
        count += 1
    return count
