"""Copies for auditors: complete, in order, harmless in a spreadsheet."""

import csv
import io
import json
from pathlib import Path
from typing import Literal

import pytest
from audit_support import ANA
from audit_support import BEN
from audit_support import commanded
from audit_support import erased
from audit_support import raw

from audit import COLUMNS
from audit import Log
from audit import LogDamaged
from audit import NoLog
from audit import Query
from audit import Reader
from audit import export


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    Log.create(path)
    return path


def exported(path: Path, format: Literal["csv", "jsonl"], query: Query | None = None) -> tuple[int, str]:
    out = io.StringIO(newline="")
    return export(path, format=format, query=query or Query(), out=out), out.getvalue()


def test_an_export_is_never_cut_short(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded(f"{number}", actor=BEN if number % 2 else ANA) for number in range(3001)])
    assert exported(path, "jsonl")[0] == 3001
    count, text = exported(path, "csv", Query(actor=BEN))
    assert count == len(list(csv.DictReader(io.StringIO(text)))) == 1500


def test_csv_has_every_column_and_the_data_as_it_was_hashed(path: Path) -> None:
    with Log.open(path) as log:
        [event] = log.append([commanded('two\nlines, "quoted"')])
    _, text = exported(path, "csv")
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert list(row) == list(COLUMNS)
    assert row["data"] == raw(path, "SELECT data FROM payload")[0][0]
    assert (row["hash"], row["seq"], row["project"]) == (event.hash, "1", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(path: Path, start: str) -> None:
    hostile = f'{start}HYPERLINK("http://evil.example")'
    with Log.open(path) as log:
        log.append([commanded(actor=hostile, stream=hostile, project=hostile, environment=hostile, request=hostile)])
    _, text = exported(path, "csv")
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert {row[name] for name in ("actor", "stream", "project", "environment", "request")} == {f"'{hostile}"}


def test_jsonl_has_one_event_a_line_whatever_the_text_holds(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded("line\u2028separator\x85next\nfeed \u202egnp.exe"), commanded("secret"), erased(2)])
    raw(path, "DELETE FROM payload WHERE seq = 2")
    _, text = exported(path, "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    events = Reader(path).since(0, 10)
    assert [row["data"] for row in rows] == [event.data for event in events]
    assert rows[1]["data"] is None
    assert list(rows[0]) == list(COLUMNS)
    assert text.isascii()


def test_an_event_that_somebody_broke_ends_the_export_aloud(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded()])
    raw(path, "UPDATE payload SET data = '{x}'", guards=False)
    with pytest.raises(LogDamaged, match="Event 1"):
        exported(path, "jsonl")


def test_without_a_log_nothing_is_exported(tmp_path: Path) -> None:
    with pytest.raises(NoLog):
        exported(tmp_path / "none.db", "csv")
