"""A log of millions of events in minutes: the same bytes as `Log.append` writes, without its waiting for the disk.

    python -m bench.big_log PATH COUNT

The events are those of a team with two projects: pushes with their plans, approvals, steps and statements, refusals, words
typed, clicks, changes from outside; spread evenly over three years. The same count gives the same events, but for salts.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

from audit import Log
from audit import schema
from audit.event import FIRST_PREVIOUS
from audit.event import hash_of
from audit.event import written_at

START = datetime(2024, 1, 1, tzinfo=UTC)
YEARS = timedelta(days=3 * 365)
PEOPLE = tuple(
    f"slack:T0ACME/U0{name}" for name in ("ANA", "BEN", "CHI", "DAN", "EVA", "FAY", "GUS", "HAL", "IDA", "JON")
)
TARGETS = (("shop", "dev"), ("shop", "prod"), ("shop", "prod"), ("blog", "prod"), ("blog", "dev"))
BATCH = 20_000
TABLES = ("orders", "customers", "invoices", "refunds", "products", "carts", "shipments", "reviews")

_EVENT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def build(path: Path, count: int) -> None:
    """Make a log of `count` events at `path`, where nothing is yet."""
    Log.create(path)
    with closing(schema.connect_writer(path)) as connection:
        log_id = connection.execute("SELECT id FROM log").fetchone()[0]
        connection.execute("PRAGMA synchronous = 0")
        own = "type = 'index' AND sql IS NOT NULL AND tbl_name = 'event' OR name IN ('event_links', 'payload_links')"
        kept = connection.execute(f"SELECT type, name, sql FROM sqlite_master WHERE {own}").fetchall()  # noqa: S608 (constants only)
        for type_, name, _ in kept:
            connection.execute(f"DROP {type_} {name}")
        for batch in _batches(log_id, count):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_EVENT, (row[0] for row in batch))
            connection.executemany("INSERT INTO payload VALUES (?, ?, ?)", (row[1] for row in batch))
            connection.execute("COMMIT")
        for _, _, sql in kept:
            connection.execute(sql)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _batches(log_id: str, count: int) -> Iterator[list[tuple[tuple[Any, ...], tuple[int, str, str]]]]:
    batch: list[tuple[tuple[Any, ...], tuple[int, str, str]]] = []
    previous = FIRST_PREVIOUS
    places: dict[str, int] = {}
    step = YEARS / max(count, 1)
    for seq, (kind, actor, target, request, stream, data) in enumerate(_events(count), 1):
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        salt = os.urandom(16)
        places[stream] = place = places.get(stream, 0) + 1
        row = {
            "seq": seq,
            "id": f"bench-{seq}",
            "at": written_at(START + step * seq),
            "kind": kind,
            "actor": actor,
            "project": target[0] if target else None,
            "environment": target[1] if target else None,
            "request": request,
            "stream": stream,
            "place": place,
            "commitment": hashlib.sha256(salt + text.encode()).hexdigest(),
            "previous": previous,
        }
        previous = hash_of(log_id, row)
        batch.append(((*row.values(), previous), (seq, salt.hex(), text)))
        if stream.startswith("request:") and kind in {"succeeded", "failed", "rejected"}:
            del places[stream]
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


_Made = tuple[str, str, tuple[str, str] | None, str | None, str, dict[str, Any]]


def _events(count: int) -> Iterator[_Made]:
    made = number = 0
    while True:
        number += 1
        for event in _of_request(number):
            yield event
            made += 1
            if made == count:
                return


def _of_request(number: int) -> Iterator[_Made]:
    """All that a push leaves in the log, and what happens beside it."""
    target = TARGETS[number % len(TARGETS)]
    asker, approver = PEOPLE[number % 10], PEOPLE[(number * 7 + 3) % 10]
    table = TABLES[number % len(TABLES)]
    request, digest = f"R-{number}", hashlib.sha256(str(number).encode()).hexdigest()
    stream, name = f"request:{request}", f"{20240101000000 + number}"
    typed = {"arguments": [target[1]], "behind": [], "channel": "C0A", "front": "slack", "text": f"push {target[1]}"}
    yield "commanded", asker, None, None, "people", typed | {"thread": None, "word": "push"}
    plan = {
        "commit": digest[:40],
        "files": [{"name": f"change_{table}", "sha256": digest, "version": name}],
        "format": 1,
    }
    asked: dict[str, Any] = {
        "kind": "push",
        "digest": digest,
        "commit": digest[:40],
        "plan": plan,
        "hazards": [],
        "authors": [asker[-5:]],
    }
    asked |= {
        "behind": [],
        "expires_at": "2027-01-01T00:00:00Z",
        "queued_since": None,
        "rehearsal": None,
        "replaces": None,
    }
    yield "requested", asker, target, request, stream, asked | {"unknown_authors": []}
    if number % 11 == 0:
        told: dict[str, Any] = {
            "facts": {},
            "message": f"You requested {request}.",
            "reason": "own_request",
            "to": None,
            "word": "approve",
        }
        yield "refused", asker, None, None, "people", told
    if number % 13 == 0:
        yield (
            "rejected",
            approver,
            target,
            request,
            stream,
            {"because": f"not before {table} is measured", "digest": digest},
        )
        return
    yield (
        "approved",
        approver,
        target,
        request,
        stream,
        {"digest": digest, "facts": {"rule": "approvers"}, "covers": []},
    )
    runner = "system:runner"
    begun = {"attempt": 1, "digest": digest, "facts": {}, "runner": "host/1"}
    yield "started", runner, target, request, stream, begun
    yield "started", runner, target, request, f"target:{target[0]}/{target[1]}", begun
    for step in ("preflight", "migrate"):
        yield "step_started", runner, target, request, stream, {"about": {}, "attempt": 1, "step": step}
        if step == "migrate":
            sent = {"backend_pid": number % 30000, "segment": 0, "sha256": digest, "statements": [0], "version": name}
            yield (
                "statement_sent",
                runner,
                target,
                request,
                stream,
                sent | {"text": f"alter table {table} add c{number} int"},
            )
        yield "step_finished", runner, target, request, stream, {"attempt": 1, "result": {"said": "done"}, "step": step}
    kind = "failed" if number % 17 == 0 else "succeeded"
    ended = {"applied": [name], "seconds": 1.5}
    yield kind, runner, target, request, stream, ended
    yield kind, runner, target, request, f"target:{target[0]}/{target[1]}", ended
    if number % 97 == 0:
        found = {"changed": [f"the column {table}.note"], "since": None}
        yield "changed_outside", "system:watcher", target, None, f"target:{target[0]}/{target[1]}", found


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
