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
from commands.door import terminal_actor
from commands.knock import check_log
from commands.page import Listing
from commands.page import Page
from commands.page import When
from commands.reply import Reply
from commands.reply import error_reply
from commands.show import event_json
from commands.terminal import log_reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import Settings
from ops.targets import find_target
from ops.targets import nearest

ROWS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `countersign audit`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="create|verify|query|export")
    actions.add_parser("create", help="make a new, empty log; nothing else ever makes one")
    actions.add_parser("verify", help="recompute every hash of the log and say what does not fit")
    for name, words in (("query", "list events"), ("export", "write events to standard output")):
        action = actions.add_parser(name, help=words)
        action.add_argument("--actor", help="slack:T…/U…, os:HOST/LOGIN or system:PART")
        action.add_argument("--target", help="prod or shop/prod")
        action.add_argument("--request", help="R-7")
        action.add_argument("--kind", action="append", default=[], help="approved, refused…; may be given again")
        action.add_argument("--since", help="2026-11-22 or 2026-11-22T13:52:01Z, inclusive")
        action.add_argument("--until", help="the same, exclusive")
        action.add_argument("--text", help="text that the data holds")
        if name == "query":
            action.add_argument("--limit", type=int, default=ROWS, help=f"so many of the newest; {ROWS} if not said")
        else:
            action.add_argument("--format", choices=["csv", "jsonl"], default="jsonl")


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
        return Reply(Page(f"The log holds: {found.events} events, head {found.head[:16]}"), data)
    lines = [(f"{'event ' + str(one.seq) if one.seq else 'the file'}: {one.message}",) for one in found.problems]
    page = Page(f"The log does not hold: {len(lines)} problems", body=[Listing("Problems", lines)])
    return Reply(page, data, ok=False, exit_code=1)


def _list(path: Path, query: Query, uid: int) -> Reply:
    events = Reader(path).find(query)[::-1]
    _note(path, uid, "queried", {"query": _words(query), "rows": len(events)})
    lines = [_line(event) for event in events]
    words = f"{len(events)} event{'s' if len(events) != 1 else ''}"
    full = len(events) == query.limit
    page = Page(f"The last {words}; more with --limit" if full else words, body=[Listing("", lines)] if lines else [])
    return Reply(page, {"events": [{**event_json(event), "stream": event.stream} for event in events]})


def _line(event: Event) -> tuple[Any, ...]:
    target = f"  {event.project}/{event.environment}" if event.environment else ""
    request = f"  {event.request}" if event.request else ""
    return (f"#{event.seq}  ", When(event.at), f"  {event.kind}  {event.actor}{target}{request}")


def _export(path: Path, query: Query, form: str, uid: int, out: TextIO) -> Reply:
    """Events are written as they are, oldest first."""
    rows = export(path, format="csv" if form == "csv" else "jsonl", query=query, out=out)
    _note(path, uid, "exported", {"format": form, "query": _words(query), "rows": rows})
    return Reply(Page(f"{rows} events exported"), {"rows": rows, "format": form})


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
