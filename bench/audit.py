"""The audit log at the size of decades: appends, questions, a quarter's population and verifying, on ten million events.

    python -m bench.audit [--events 10000000] [--rounds N] [--tiny] [--folder DIR]

The log is built in a scratch folder (some five minutes and 7 GB for ten million events) and removed at the end. Appends are
measured beside raw durable inserts by sqlite3 of as many bytes; verifying beside reading the same rows with sqlite3 and
hashing their bytes, in one process; questions and the population have bounds of their own. Questions are asked as people
ask them: the first page, a page in the middle, with an actor, request, time or word that is another one each time.
"""

import argparse
import hashlib
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path

from audit import KINDS
from audit import Query
from audit import Reader
from audit import query_of
from audit import verify
from audit.changes import changes
from audit.changes import whole
from audit.grammar import parse
from audit.search import search
from audit.side_index import SideIndex
from audit.side_index import index_path
from bench.audit_append import EVENTS as APPENDS
from bench.audit_append import TINY_EVENTS as TINY_APPENDS
from bench.audit_append import appended
from bench.audit_append import event_bytes
from bench.audit_append import inserted
from bench.big_log import PEOPLE
from bench.big_log import START
from bench.big_log import TABLES
from bench.big_log import YEARS
from bench.big_log import build
from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import Options
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import percentile
from bench.measuring import report

EVENTS = 10_000_000
TINY_EVENTS = 20_000
BYTES_AN_EVENT = 1000
ASKED = 200
TINY_ASKED = 5
PAGE = 50
EVENTS_A_REQUEST = 12
NOW = START + YEARS
QUARTER = (datetime(2025, 4, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))

QUESTIONS = (
    "",
    "actor:{actor}",
    "kind:approved env:prod",
    "actor:{actor} env:shop/prod kind:approved",
    "outcome:failed",
    "outcome:failed,refused actor:{actor}",
    "request:R-{request}",
    "digest:{digest}",
    "during:2025-{month}",
    "during:2025-{month} kind:rejected env:prod",
    "stream:target:blog/prod",
    "text:{table}",
    '"alter {table}"',
    "text:{beginning} kind:changed_outside",
    "actor:{actor} text:{table} during:2025-{month}",
    "-kind:commanded",
    "-actor:system:runner -kind:commanded",
    "-text:{table} kind:rejected",
    "kind:frozen",
    "text:nowhere",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a figure is not met, 2 when there is no room for the log."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--events", type=int, default=EVENTS)
    own, rest = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    options = options_of("The audit log at its largest (also: --events N, how many it has).", rest, rounds=2)
    events = TINY_EVENTS if options.tiny else own.events
    if shutil.disk_usage(options.folder).free < events * BYTES_AN_EVENT:
        print(f"{options.folder} has no room for {events:,} events; --events takes fewer, --folder another place.")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the folder goes in any case
    appends = _appends(options)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="countersign-bench-") as folder:
        path = Path(folder) / "audit.db"
        notes = [_built(path, events), _indexed(path)]
        figures: list[Figure | Bound] = [*appends, *_questions(path, events, options)]
        figures += [_population(path, options), _verifying(path, options)]
    title = f"The audit log at {events:,} events"
    return report(title, figures, folder=options.folder, notes=notes)


def _built(path: Path, events: int) -> str:
    began = time.perf_counter()
    build(path, events)
    return f"Built in {time.perf_counter() - began:,.0f} s: {path.stat().st_size / 1e6:,.0f} MB."


def _indexed(path: Path) -> str:
    began = time.perf_counter()
    with Reader(path).together() as view:
        left = SideIndex(path).catch_up(view, seconds=86_400, worth=0, behind=1)
    if left:
        raise RuntimeError(f"the side file was not made: {left} events are left")
    size_mb = index_path(path).stat().st_size / 1e6
    return f"Side file made in {time.perf_counter() - began:,.0f} s: {size_mb:,.0f} MB."


def _appends(options: Options) -> list[Figure]:
    count = TINY_APPENDS if options.tiny else APPENDS
    size_bytes = event_bytes(options.folder)
    found = alternate(
        1 if options.tiny else 5,
        {
            "ours": lambda: appended(options, count, writers=1),
            "rival": lambda: inserted(options, count, size_bytes),
        },
    )
    ours, rival = ([len(one.latencies) / one.seconds for one in found[name]] for name in ("ours", "rival"))
    return [Figure("durable appends beside raw sqlite3", ours, rival, "/s", at_least=0.5)]


def _questions(path: Path, events: int, options: Options) -> list[Bound]:
    """The p99 of each question, half of them asked for the newest page and half for one anywhere."""
    chance = random.Random(1)  # noqa: S311 (the same questions each time)
    reader = Reader(path)
    bounds = []
    everything: list[float] = []
    for template in QUESTIONS:
        latencies = []
        for number in range(TINY_ASKED if options.tiny else ASKED):
            query = _query(template, events, chance)
            if number % 2:
                query = replace(query, before_seq=chance.randrange(1, events + 1))
            began = time.perf_counter()
            search(reader, query, seconds=600)
            latencies.append(time.perf_counter() - began)
        everything += latencies
        name = f"p99 of {template or 'the newest events'} (p50 {percentile(latencies, 0.5) * 1000:.1f} ms)"
        bounds.append(Bound(name, [percentile(latencies, 0.99)], at_most=0.010))
    return [*bounds, Bound("p99 of all questions", [percentile(everything, 0.99)], at_most=0.010)]


def _query(template: str, events: int, chance: random.Random) -> Query:
    request = chance.randrange(1, max(2, events // EVENTS_A_REQUEST))
    table = chance.choice(TABLES)
    text = template.format(
        actor=chance.choice(PEOPLE).rpartition("/")[2],
        request=request,
        digest=hashlib.sha256(str(request).encode()).hexdigest()[:8],
        month=f"{chance.randrange(1, 13):02}",
        table=table,
        beginning=table[:4],
    )
    return query_of(parse(text, NOW, sorted(KINDS)), limit=PAGE, newest_first=True)


def _population(path: Path, options: Options) -> Bound:
    def once() -> float:
        began = time.perf_counter()
        with Reader(path).together() as view:
            low, high = view.span(Query(since=QUARTER[0], until=QUARTER[1]))
            found = changes(view, low, high, counts=lambda name: name.endswith("/prod"))
            if not found or whole(view, low, high, reads=False).missing:
                raise RuntimeError("the population is not whole")
        return time.perf_counter() - began

    seconds = [once() for _ in range(1 if options.tiny else 5)]
    return Bound("a quarter's population of production changes", seconds, at_most=1.0)


def _verifying(path: Path, options: Options) -> Figure:
    def verified() -> None:
        if problems := verify(path).problems:
            raise RuntimeError(f"the log does not verify: {problems[0].message}")

    found = alternate(options.rounds, {"ours": lambda: _timed(verified), "rival": lambda: _timed(lambda: _raw(path))})
    return Figure("verifying beside reading and hashing raw", found["ours"], found["rival"], at_most=2.0)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _raw(path: Path) -> None:
    """Read every row with sqlite3 and hash its bytes, once for the event and once for what it says."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        sql = "SELECT event.*, salt, data FROM event JOIN payload ON payload.seq = event.seq ORDER BY event.seq"
        for *columns, salt, data in connection.execute(sql):
            hashlib.sha256("".join(map(str, columns)).encode()).hexdigest()
            hashlib.sha256(bytes.fromhex(salt) + data.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
