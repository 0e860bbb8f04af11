"""Who holds the lock that a backend waits for. Reads only."""

import re
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from ops.database import Connection

_SHAPE_LETTERS = 200


@dataclass(frozen=True)
class Blocker:
    """A session in the way. What our role may not see is empty; `pid` 0 is a prepared transaction.

    `transaction_seconds` is the age of its transaction. `query` is its last one without literals and comments.
    """

    pid: int
    application: str
    user: str
    state: str
    transaction_seconds: float | None
    query: str

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction"
        who = ", ".join(
            part for part in (self.application, f"user {self.user}" if self.user else "", self.state) if part
        )
        age = f" for {self.transaction_seconds:.0f} s" if self.transaction_seconds is not None else ""
        return f"pid {self.pid} ({who or 'hidden from our role'}){age}" + (f": {self.query}" if self.query else "")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_blockers(connection: Connection, pid: int) -> tuple[Blocker, ...]:
    """Those whom the backend `pid` waits for at this moment, the oldest transaction first; none if it does not wait."""
    rows = connection.execute(
        """
        SELECT DISTINCT blocking.pid, coalesce(activity.application_name, ''), coalesce(activity.usename, ''),
               coalesce(activity.state, ''),
               extract(epoch FROM clock_timestamp() - activity.xact_start)::float8 AS seconds,
               coalesce(activity.query, '')
        FROM unnest(pg_catalog.pg_blocking_pids(%s)) AS blocking(pid)
        LEFT JOIN pg_catalog.pg_stat_activity AS activity USING (pid)
        ORDER BY seconds DESC NULLS LAST
        """,
        (pid,),
    ).fetchall()
    return tuple(
        Blocker(pid, application, user, state, round(seconds, 1) if seconds is not None else None, query_shape(query))
        for pid, application, user, state, seconds, query in rows
    )


# The server cuts long queries, so that a literal may have no end: then it lasts to the end of what is there.
_LITERAL = re.compile(
    r"""
      --[^\n\r]* | /\*.*?(?:\*/|\Z)                                    # comments: people write values into them
    | (?P<quoted>"(?:[^"]|"")*(?:"|\Z))                                # a name: kept
    | (?P<text>\$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)
      | (?<!\w)[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)
      | '(?:[^']|'')*(?:'|\Z))
    | (?P<number>(?<![\w$])\d[\w.]*)
    """,
    re.VERBOSE | re.DOTALL,
)


def query_shape(query: str) -> str:
    """A query without what may be data: literals become `?`, comments go; in one line of at most 200 letters."""
    bare = _LITERAL.sub(lambda match: match["quoted"] or ("?" if match["text"] or match["number"] else " "), query)
    shape = " ".join(bare.split())
    return shape if len(shape) <= _SHAPE_LETTERS else shape[: _SHAPE_LETTERS - 1] + "…"
