"""What the tests of runs share: how a request is asked for and approved, and what log, card and database must agree on."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from people_talk import card
from processes import terminal

from audit import Event
from audit import Reader
from ops.database import Connection
from ops.occupying import occupant_of
from ops.requests import Request
from ops.requests import find_request
from ops.tools import wheel_tools
from sandbox.slack_answer import until
from sandbox.stage import Stage

RAN = "create table ran (name text);\ninsert into ran values ('a');"
"""A migration that leaves a trace of having run: a row in a table without a key, so that twice is seen."""


FIRST = "20260101000000_first.sql"
SLOW = "20260102000000_slow.sql"
NO_BACKUP = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\n'
"""Rules of an environment where one person approves and no backup is taken."""


def ran_once(name: str) -> str:
    """One more statement that leaves such a trace."""
    return f"insert into ran values ('{name}');"


def slow(seconds: float) -> str:
    """Statements that take so long, and leave a trace."""
    return f"select pg_sleep({seconds});\n{ran_once('slow')}"


@pytest.fixture
def small(make_stage: Callable[..., Stage]) -> Stage:
    """A project with one migration, which is nowhere yet."""
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    return stage


def cards(stage: Stage) -> str:
    return "\n".join(stage.slack.render(one) for one in stage.slack.channel("deploys").messages)


def ask(stage: Stage, number: int = 1) -> None:
    """Ana asks for a push to prod, and its card comes to wait for approval."""
    stage.slack.say("U0ANA", "/migrate push prod")
    card(stage, f"R-{number} · shop/prod")
    assert until(lambda: [one for one in stage.events("shown") if one.request == f"R-{number}"], 30)
    card(stage, "Approve for prod")


def approve(stage: Stage, number: int = 1) -> None:
    """Ben says yes to it."""
    answer = stage.slack.click("U0BEN", "Approve", about=f"R-{number}")
    assert f"Your approval of R-{number} is recorded" in answer.text(20)


def request_of(stage: Stage, number: int = 1) -> Request:
    return find_request(Reader(stage.log_path), f"R-{number}")


def ended(stage: Stage, number: int = 1, seconds: float = 60) -> Request:
    """The request once it is over."""
    found = until(lambda: request if (request := request_of(stage, number)).is_over else None, seconds)
    assert found is not None, (request_of(stage, number), stage.bot_log.read_text()[-2000:])
    return found


def until_event(stage: Stage, kind: str, number: int = 1, seconds: float = 30) -> Event:
    """The event of this kind that comes as the number-th."""
    found = until(lambda: events[number - 1] if len(events := stage.events(kind)) >= number else None, seconds)
    assert found is not None, f"no {kind}: {[event.kind for event in stage.events()]}"
    return found


def push_json(stage: Stage, *arguments: str) -> dict[str, Any]:
    """What `push dev --json` says; its exit code is in `code`."""
    ran = stage.cli("push", "dev", "--json", *arguments)
    found: dict[str, Any] = json.loads(ran.out or "null") or {}
    return {**found, "code": ran.code, "err": ran.err}


@contextmanager
def in_a_log(stage: Stage, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command at work while the body runs, whose output goes where nobody watches."""
    process = terminal(stage, *words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pushing(stage: Stage, *arguments: str) -> "AbstractContextManager[subprocess.Popen[str]]":
    """A terminal that pushes to dev, at work while the body runs."""
    return in_a_log(stage, "push", "dev", "--json", *arguments)


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


@contextmanager
def session(stage: Stage, database: str, name: str = "somebody") -> Iterator[Connection]:
    """A session of somebody else on a database of the stage, called `name`."""
    url = stage.postgres.url(stage.databases[database])
    with closing(psycopg.connect(url, autocommit=True, application_name=name)) as connection:
        yield connection


def use_tools(stage: Stage, folder: Path, **scripts: str) -> None:
    """Have the stage's Postgres programs run a line of shell first: `use_tools(stage, folder, pg_dump="sleep 1")`."""
    tools = wheel_tools()
    assert tools is not None
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        program.write_text(f'#!/bin/sh\n{scripts.get(name, "")}\nexec "{tools.bin / name}" "$@"\n')
        program.chmod(0o755)
    with stage.config.open("a") as file:
        file.write(f'\n[postgres]\nbin = "{folder}"\n')


def at_start(stage: Stage, *lines: str) -> None:
    """Have every process that the stage starts from now on run these lines of Python first; without lines, none."""
    site = stage.folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text("\n".join(lines))
    here = str(Path(__file__).parent)
    stage.environment["PYTHONPATH"] = ":".join([str(Path(here).parent), *([str(site), here] if lines else [])])


def at_work(stage: Stage, database: str, query: str) -> Callable[[], bool]:
    """Whether one of our sessions on this database runs something like this just now."""
    sql = (
        "select count(*) > 0 from pg_stat_activity where application_name like 'countersign %' "
        f"and datname = current_database() and state = 'active' and query ilike '%{query}%'"
    )
    return lambda: bool(stage.sql(database, sql)[0][0])


def disagreements(stage: Stage, database: str = "dev", number: int = 1) -> list[str]:
    """What log and database say differently about a request, and every rule that it broke; empty when all is well."""
    request = request_of(stage, number)
    history = versions(stage, database)
    planned = [str(one["version"]) for one in request.files]
    traces = Counter(row[0] for row in _rows(stage, database, "ran"))
    found = [f"{name} ran {times} times" for name, times in traces.items() if times > 1]
    if [version for version in history if version in planned] != list(request.applied):
        found.append(f"history has {history}, the log says {request.applied}")
    if list(request.applied) != planned[: len(request.applied)]:
        found.append(f"{request.applied} is not the beginning of {planned}")
    kinds = Counter(event.kind for event in stage.events() if event.stream == request.stream)
    endings = sum(kinds[kind] for kind in ("succeeded", "failed", "partially_applied", "interrupted", "superseded"))
    if endings != int(request.is_over):
        found.append(f"{endings} endings")
    occupant = occupant_of(Reader(stage.log_path), f"target:{request.target}")
    if (occupant is not None) != (request.status.value in {"running", "interrupted"}):
        found.append(f"{request.status.value}, but the target is held by {occupant}")
    if request.status.value == "succeeded" and list(request.applied) != planned:
        found.append("it succeeded without everything")
    if request.status.value in {"failed", "superseded"} and (traces or request.applied):
        found.append(f"{request.status.value}, but {dict(traces)} is there")
    return found


def versions(stage: Stage, database: str) -> list[str]:
    return sorted(row[0] for row in _rows(stage, database, "supabase_migrations.schema_migrations"))


def _rows(stage: Stage, database: str, table: str) -> list[tuple[Any, ...]]:
    there = stage.sql(database, f"select to_regclass('{table}') is not null")[0][0]
    return stage.sql(database, f"select * from {table}") if there else []


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until it holds; fail when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)
