"""Which events somebody asks for at the terminal, from the options that `audit query` and `audit export` share."""

import argparse
from dataclasses import asdict
from datetime import UTC
from datetime import datetime

from audit import KINDS
from audit import Query
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import Settings
from ops.targets import find_target
from ops.targets import nearest


def query_of(settings: Settings, arguments: argparse.Namespace, *, newest_first: bool = False) -> Query:
    """The query that the arguments say. Raises OpsError(BAD_USAGE, UNKNOWN_ENVIRONMENT)."""
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
        newest_first=newest_first,
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise OpsError(Reason.BAD_USAGE, f"{text!r} is no date.", "Write 2026-11-22 or 2026-11-22T13:52:01Z.") from None


def words_of(query: Query) -> str:
    """A query as the log keeps it."""
    return " ".join(f"{name}:{value}" for name, value in asdict(query).items() if value)
