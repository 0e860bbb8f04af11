"""Which events somebody asks for at the terminal, from the conditions and options that `audit query` and `audit export`
share."""

import argparse
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from datetime import UTC
from datetime import datetime

from audit import KINDS
from audit import Query
from audit import query_of as query_asked
from audit.grammar import Asked
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import utc_now
from ops.log_questions import asked_of
from ops.log_questions import nowhere
from ops.log_questions import typed_again
from ops.people import NoPeople
from ops.settings import Settings
from ops.targets import find_target
from ops.targets import nearest


@dataclass(frozen=True)
class Question:
    """A query, and how it is written down and said again."""

    query: Query
    text: str
    nowhere: str = ""
    """Why nothing may be found, if it asks for an environment that the configuration does not name."""


def question_of(settings: Settings, arguments: argparse.Namespace) -> Question:
    """What the arguments ask for: the conditions, and the options beside them. Raises OpsError(BAD_USAGE,
    UNKNOWN_ENVIRONMENT, IDENTITY_UNPROVEN)."""
    asked = asked_of(typed_again(tuple(arguments.condition)), settings, NoPeople(), utc_now())
    query = _with_options(query_asked(asked), settings, arguments)
    return Question(query, _words_of(asked, query), nowhere(asked, settings))


def _with_options(query: Query, settings: Settings, arguments: argparse.Namespace) -> Query:
    target = find_target(settings, arguments.target) if arguments.target else None
    for kind in arguments.kind:
        if kind not in KINDS:
            near = nearest(kind, sorted(KINDS))
            hint = f"Did you mean {near}?" if near else f"These are: {', '.join(sorted(KINDS))}."
            raise OpsError(Reason.BAD_USAGE, f"There is no kind of event {kind!r}.", hint)
    return replace(
        query,
        actor=arguments.actor,
        project=target.project if target else None,
        environment=target.environment if target else None,
        request=arguments.request.upper() if arguments.request else None,
        kinds=tuple(arguments.kind),
        since=max((one for one in (query.since, _moment(arguments.since)) if one is not None), default=None),
        until=min((one for one in (query.until, _moment(arguments.until)) if one is not None), default=None),
        text=arguments.text,
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise OpsError(Reason.BAD_USAGE, f"{text!r} is no date.", "Write 2026-11-22 or 2026-11-22T13:52:01Z.") from None


def _words_of(asked: Asked, query: Query) -> str:
    """A question as the log keeps it: its conditions as they were typed, then the options."""
    options = {name: value for name, value in asdict(query).items() if value and name not in _TYPED}
    times = (
        {"since": query.since, "until": query.until} if (query.since, query.until) != (asked.since, asked.until) else {}
    )
    told = [f"{name}:{value}" for name, value in {**options, **times}.items() if value and name != "kinds"]
    told += [f"kind:{','.join(query.kinds)}"] if query.kinds else []
    return " ".join([*([asked.text()] if asked.terms else []), *told]) or "all"


_TYPED = {"conditions", "since", "until", "after_seq", "before_seq", "limit", "newest_first"}
