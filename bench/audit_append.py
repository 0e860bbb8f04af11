"""Durable appends to the audit log, beside raw durable inserts by sqlite3 of as many bytes.

    python -m bench.audit_append [--rounds N] [--tiny] [--folder DIR]

Ours: `Log.append` of one event, as a worker of the bot does it: checked, canonical, hashed into the chain, with its
place, indexes and triggers, on the disk when it returns. The rival: one INSERT per transaction into a plain table, one
connection, WAL and synchronous=FULL as well, with a text as long as what our event stores in all its columns together.
Both write for a while before anything is measured, since a write-ahead log that still grows is slower.
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from audit import Draft
from audit import Log
from audit import Query
from audit import Reader
from audit import verify
from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import Options
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import percentile
from bench.measuring import report

EVENTS = 2000
TINY_EVENTS = 64
WARM_UP_SECONDS = 2.5
WRITERS = 64
WRITER = "slack:T0ACME/U0ANA"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a figure is not met."""
    options = options_of("Durable appends to the audit log, beside raw sqlite3.", arguments)
    events = TINY_EVENTS if options.tiny else EVENTS
    size_bytes = event_bytes(options.folder)
    found = alternate(
        options.rounds,
        {
            "ours": lambda: appended(options, events, writers=1),
            "rival": lambda: inserted(options, events, size_bytes),
            "ours of 64": lambda: appended(options, events, writers=WRITERS),
        },
    )
    lost = [float(sum(events - round_.kept for round_ in found[name])) for name in ("ours", "ours of 64")]
    figures: list[Figure | Bound] = [
        Figure("appends, one writer", _rates(found["ours"]), _rates(found["rival"]), "/s", at_least=0.5),
        _latency("appends, one writer, p50", found["ours"], found["rival"], 0.5),
        _latency("appends, one writer, p99", found["ours"], found["rival"], 0.99),
        Figure("appends, 64 writers at once", _rates(found["ours of 64"]), _rates(found["rival"]), "/s"),
        Bound("events lost of 64 writers and of one", lost, "events", at_most=0),
    ]
    notes = [f"{events} events of {size_bytes} bytes per contender and round; every log verified afterwards."]
    return report("Durable appends: the audit log beside raw sqlite3", figures, folder=options.folder, notes=notes)


@dataclass(frozen=True)
class Round:
    """What one contender did in one round: seconds of each durable write, of all of them, and how many were kept."""

    latencies: list[float]
    seconds: float
    kept: int


def draft(number: int, actor: str = WRITER) -> Draft:
    """What the bot records before it acknowledges a slash command."""
    data = {"word": "push", "arguments": ["prod"], "text": f"push prod {number:08}", "front": "slack", "channel": "C0A"}
    return Draft(kind="commanded", actor=actor, stream="people", data=data)


def appended(options: Options, events: int, writers: int) -> Round:
    """Append events to a new log from threads of a pool. Raises RuntimeError when the log does not verify."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "audit.db"
        Log.create(path)
        with Log.open(path, wait_seconds=30) as log, ThreadPoolExecutor(writers) as pool:
            _warm_up(options, pool, lambda: log.append([draft(0, actor="system:warm-up")]))
            shares = [range(first, events, writers) for first in range(writers)]
            began = time.perf_counter()
            each = pool.map(lambda share: _timed(lambda number: log.append([draft(number)]), share), shares)
            latencies = [seconds for found in each for seconds in found]
            seconds = time.perf_counter() - began
        if problems := verify(path).problems:
            raise RuntimeError(f"the log does not verify: {problems[0].message}")
        texts = {str(event.data and event.data["text"]) for event in Reader(path).find(Query(actor=WRITER))}
        return Round(latencies, seconds, len(texts))


def inserted(options: Options, events: int, size_bytes: int) -> Round:
    """Insert as many bytes into a plain table, durably, one row per transaction."""
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        ThreadPoolExecutor(1) as pool,
        closing(sqlite3.connect(f"{folder}/raw.db", isolation_level=None, check_same_thread=False)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, body TEXT)")
        body = "x" * size_bytes
        sql = "INSERT INTO plain (body) VALUES (?)"
        _warm_up(options, pool, lambda: connection.execute(sql, (body,)))
        began = time.perf_counter()
        latencies = pool.submit(_timed, lambda _: connection.execute(sql, (body,)), range(events)).result()
        seconds = time.perf_counter() - began
        return Round(latencies, seconds, len(latencies))


def event_bytes(folder: Path) -> int:
    """How many bytes one of our events stores, in all columns of both tables."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "audit.db"
        Log.create(path)
        with Log.open(path) as log:
            log.append([draft(0)])
        with closing(sqlite3.connect(path)) as connection:
            sql = "SELECT * FROM event JOIN payload ON payload.seq = event.seq"
            return sum(len(str(value)) for value in connection.execute(sql).fetchone() if value is not None)


def _warm_up(options: Options, pool: Executor, write: Callable[[], object]) -> None:
    def until_warm() -> None:
        end = time.perf_counter() + (0.0 if options.tiny else WARM_UP_SECONDS)
        while time.perf_counter() < end:
            write()

    pool.submit(until_warm).result()


def _timed(write: Callable[[int], object], numbers: Sequence[int]) -> list[float]:
    latencies = []
    for number in numbers:
        began = time.perf_counter()
        write(number)
        latencies.append(time.perf_counter() - began)
    return latencies


def _rates(rounds: Sequence[Round]) -> list[float]:
    return [len(found.latencies) / found.seconds for found in rounds]


def _latency(name: str, ours: Sequence[Round], rival: Sequence[Round], share: float) -> Figure:
    return Figure(
        name,
        [percentile(found.latencies, share) for found in ours],
        [percentile(found.latencies, share) for found in rival],
    )


if __name__ == "__main__":
    sys.exit(main())
