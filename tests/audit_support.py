"""Drafts and raw access that the tests of the log share."""

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

from audit import Draft

ANA = "slack:T0ACME/U0ANA"
BEN = "slack:T0ACME/U0BEN"
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class Clock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def commanded(text: str = "status", *, stream: str = "bot", actor: str = ANA, **fields: Any) -> Draft:
    data = {"word": "status", "arguments": [], "text": text, "front": "slack"}
    return Draft(kind="commanded", actor=actor, stream=stream, data=data, **fields)


def requested(request: str, *, environment: str = "prod", **data: Any) -> Draft:
    content = {
        "kind": "push",
        "digest": "d" * 64,
        "commit": "c" * 40,
        "plan": {},
        "hazards": [],
        "authors": [],
        "unknown_authors": [],
        "expires_at": "2026-11-23T12:00:00.000000Z",
    }
    return Draft(
        kind="requested",
        actor=ANA,
        stream=f"request:{request}",
        project="shop",
        environment=environment,
        request=request,
        data=content | data,
    )


def of_request(kind: str, request: str, **data: Any) -> Draft:
    return Draft(kind=kind, actor=ANA, stream=f"request:{request}", request=request, data=data)


def erased(*seqs: int) -> Draft:
    return Draft(kind="erased", actor=ANA, stream="all", data={"seqs": list(seqs), "because": "asked to"})


def raw(path: Path, *statements: str, guards: bool = True) -> list[tuple[Any, ...]]:
    """Runs SQL on the file as somebody with a shell would, and returns the last statement's rows. Without guards,
    the triggers are taken away first and put back afterwards, so that only the rows tell."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        triggers = [] if guards else connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        kept = list(triggers)
        for name, _ in kept:
            connection.execute(f"DROP TRIGGER {name}")
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        for _, sql in kept:
            connection.execute(sql)
        return rows
    finally:
        connection.close()


def as_nobody(report: Callable[[], object]) -> str:
    """What `report` returns, in words, in a process without root's rights."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            answer = repr(report())
        except BaseException as error:
            answer = repr(error)
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return answer


def open_to_everybody(folder: Path) -> None:
    """Lets others into a test's folder, which pytest keeps for its own user."""
    for each in (folder, *[parent for parent in folder.parents if "pytest" in str(parent)]):
        each.chmod(0o755)
