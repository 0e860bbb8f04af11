"""Who holds the lock that a backend waits for. Reads only."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
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


def pid_text(pid: int) -> str:
    """The number as it is to be typed: six digits or more by themselves are taken for a one-time code, and covered."""
    return str(pid) if pid < 100_000 else f"pid{pid}"


def read_blockers(connection: "Connection", pid: int) -> tuple[Blocker, ...]:
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


# The tokens of Postgres' own lexer. What fits none of them (a literal without an end, say, for the server cuts long
# queries) leaves in doubt where the next literal begins.
_TOKEN = re.compile(
    r"""
      (?P<gap>\s+ | --[^\n\r]*)                        # comments go: people write values into them
    | (?P<comment>/\*)                                  # its end is counted, since comments nest
    | (?P<data>\$(?P<tag>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+|)\$.*?\$(?P=tag)\$
      | [eE]'(?:[^'\\]|''|\\.)*+'
      | [uU]&'(?:[^'\\]|''|\\(?!'))*+'
      | '(?:[^'\\]|'')*+'                               # with a backslash, its end depends on the session's settings
      | [0-9][\w.]*)
    | (?P<quoted>"(?:[^"]|"")*+")
    | (?P<kept>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* | \$[0-9]+ | [-+*/<>=~!@\#%^&|`?.,:;()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_NAME_LETTERS = 63
"""No name is longer in Postgres; what is, was meant as something else."""


def query_shape(query: str) -> str:
    """A query without what may be data: literals become `?`, comments go; in one line of at most 200 letters.

    From where it is not certain what is a literal, `…` stands for all the rest.
    """
    shape = " ".join("".join(_bare(query)).split())
    return shape if len(shape) <= _SHAPE_LETTERS else shape[: _SHAPE_LETTERS - 1] + "…"


def _bare(query: str) -> Iterator[str]:
    place = 0
    while place < len(query):
        found = _TOKEN.match(query, place)
        end = found.end() if found and not found["comment"] else _comment_end(query, place) if found else None
        if found is None or end is None:
            yield "…"
            return
        if quoted := found["quoted"]:
            yield quoted if len(quoted) <= _NAME_LETTERS + 2 else f'{quoted[: _NAME_LETTERS + 1]}…"'
        else:
            yield found["kept"] or ("?" if found["data"] else " ")
        place = end


def _comment_end(query: str, begin: int) -> int | None:
    """Where the comment that begins here ends, with those inside it; None when it does not."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(query, begin):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return None
