"""`audit create|verify|query|export`: the log itself, at the terminal. Reading it is written down where it can be."""

import argparse
from dataclasses import asdict
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any
from typing import TextIO

from audit import KINDS
from audit import AuditError
from audit import Draft
from audit import Event
from audit import Log
from audit import LogExists
from audit import Query
from audit import Reader
from audit import export
from audit import verify
from commands.knock import check_log
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.reply import Reply
from commands.reply import error_reply
from commands.show import event_json
from commands.terminal import log_reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import terminal_actor
from ops.settings import Settings
from ops.targets import find_target
from ops.targets import nearest


def run_audit(settings: Settings, arguments: argparse.Namespace, uid: int, out: TextIO) -> Reply:
    """Do one action; `export` writes its rows to `out`. Everything but `create` wants a log to be there."""
    path = settings.log_path
    try:
        if arguments.action == "create":
            Log.create(path)
            return Reply(Page(f"The log {path} is made"), {"path": str(path)})
        check_log(path)
        if arguments.action == "verify":
            return _verify(path, uid)
        query = _query(settings, arguments)
        if arguments.action == "query":
            return _list(path, query, uid)
        return _export(path, query, arguments.format, uid, out)
    except LogExists as error:
        return error_reply(OpsError(Reason.BAD_USAGE, error.message, error.hint))
    except AuditError as error:
        return log_reply(error)
    except OpsError as error:
        return error_reply(error)


def _verify(path: Path, uid: int) -> Reply:
    found = verify(path)
    _note(path, uid, "queried", {"query": "verify", "rows": found.events})
    data = {
        "events": found.events,
        "head": found.head,
        "problems": [asdict(problem) for problem in found.problems],
    }
    if found.ok:
        return Reply(Page(f"The log holds: {plural(found.events, 'event')}, head {found.head[:16]}"), data)
    lines = [(f"{'event ' + str(one.seq) if one.seq else 'the file'}: {one.message}",) for one in found.problems]
    page = Page(f"The log does not hold: {plural(len(lines), 'problem')}", body=[Listing("Problems", lines)])
    return Reply(page, data, ok=False, exit_code=1)


def _list(path: Path, query: Query, uid: int) -> Reply:
    events = Reader(path).find(query)[::-1]
    _note(path, uid, "queried", {"query": _words(query), "rows": len(events)})
    table = Table("", ("Event", "When", "Kind", "Who", "Target", "Request"), [_row(event) for event in events])
    words = plural(len(events), "event")
    full = len(events) == query.limit
    page = Page(f"The last {words}; more with --limit" if full else words, body=[table] if events else [])
    return Reply(page, {"events": [{**event_json(event), "stream": event.stream} for event in events]})


def _row(event: Event) -> tuple[Line, ...]:
    target = f"{event.project}/{event.environment}" if event.environment else ""
    who = (event.actor,)
    return ((f"#{event.seq}",), (When(event.at),), (event.kind,), who, (target,), (event.request or "",))


def _export(path: Path, query: Query, form: str, uid: int, out: TextIO) -> Reply:
    """Events are written as they are, oldest first."""
    rows = export(path, format="csv" if form == "csv" else "jsonl", query=query, out=out)
    _note(path, uid, "exported", {"format": form, "query": _words(query), "rows": rows})
    return Reply(Page(f"{plural(rows, 'event')} exported"), {"rows": rows, "format": form})


def _note(path: Path, uid: int, kind: str, data: dict[str, Any]) -> None:
    """Write down that somebody read the log. While another process has it, reading leaves no trace but its output."""
    try:
        with Log.open(path, lock_wait_seconds=0.0) as log:
            log.append([Draft(kind=kind, actor=terminal_actor(uid).id, stream="all", data=data)])
    except AuditError:
        return  # a damaged log must still be readable, and `verify` says what is wrong with it


def _query(settings: Settings, arguments: argparse.Namespace) -> Query:
    target = find_target(settings, arguments.target) if arguments.target else None
    for kind in arguments.kind:
        if kind not in KINDS:
            near = nearest(kind, sorted(KINDS))
            hint = f"Did you mean {near}?" if near else f"These are: {', '.join(sorted(KINDS))}."
            raise OpsError(Reason.BAD_USAGE, f"There is no kind of event {kind!r}.", hint)
    return Query(
        actor=arguments.actor,
        project=target.project if target else None,
        environment=target.environment if target else None,
        request=arguments.request.upper() if arguments.request else None,
        kinds=tuple(arguments.kind),
        since=_moment(arguments.since),
        until=_moment(arguments.until),
        text=arguments.text,
        limit=getattr(arguments, "limit", None),
        newest_first=arguments.action == "query",
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise OpsError(Reason.BAD_USAGE, f"{text!r} is no date.", "Write 2026-11-22 or 2026-11-22T13:52:01Z.") from None


def _words(query: Query) -> str:
    return " ".join(f"{name}:{value}" for name, value in asdict(query).items() if value)
