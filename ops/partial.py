"""What of one file ran, statement by statement, as the log tells it; and what to ask the target where the log cannot."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from audit import Event
from ops.blockers import query_shape
from ops.errors import OpsError
from ops.masking import mask_sql
from ops.migration import Migration
from ops.migration import Statement
from ops.requests import Request
from ops.scripts import scripts_of

if TYPE_CHECKING:
    from ops.apply_journal import Intent
    from ops.apply_statements import Index
    from ops.layer import Ops

NOT_SENT, DONE, UNKNOWN = "not_sent", "done", "unknown"
"""What became of a statement that never went to the target, and two of the words of `ops.apply_journal.Outcome`."""

COMMENT = "only a comment"
"""The shape of a statement that is none."""

STATEMENTS_KEPT = 200
"""Of a file that has more, those around the first that is not done are kept."""
_BEFORE = 50


@dataclass(frozen=True)
class Ran:
    """One statement of a file and what became of it. `index` counts from 0, `line` (of its first word) from 1.

    `words` is its shape: no literals, no comments, one line. `detail` says what went wrong, or what was left behind.
    """

    index: int
    line: int
    outcome: str
    words: str
    detail: str = ""

    @property
    def is_done(self) -> bool:
        return self.outcome == DONE


@dataclass(frozen=True)
class Question:
    """Something that the target can be asked by hand: what it settles, the SQL to type, and what the answers mean."""

    asks: str
    sql: str
    means: str


def statements_of(events: Sequence[Event], migration: Migration) -> tuple[Ran, ...]:
    """Every statement of the file with what became of it, in their order, by the events of one request's stream."""
    outcomes: dict[int, tuple[str, str]] = dict.fromkeys(range(migration.done), (DONE, ""))
    for data in _told(events, migration.version):
        outcome = data.get("outcome", UNKNOWN)
        outcomes |= {index: (outcome, str(data.get("detail", ""))) for index in data["statements"]}
    found = []
    for index, statement in enumerate(migration.statements):
        outcome, detail = outcomes.get(index, (NOT_SENT, ""))
        found.append(Ran(index, statement.word_line, outcome, shape_of(statement), detail))
    return tuple(found)


def shape_of(statement: Statement) -> str:
    """A statement without literals and comments, in one line: what a log may keep of it."""
    return query_shape(mask_sql(statement.text)) or COMMENT


def done_of(statements: Sequence[Ran]) -> int:
    """How many of the first statements are on the target for certain."""
    return next((one.index for one in statements if not one.is_done), len(statements))


def last_intent(events: Sequence[Event], version: str) -> "tuple[Intent, str | None] | None":
    """The last thing that was sent of a file, and the transaction whose COMMIT went out behind it, if one did."""
    from ops.apply_journal import Intent  # with driver and grammar, which a plan of known files goes without

    sent = _last_sent(events, version)
    if sent is None:
        return None
    names = ("version", "segment", "sha256", "backend_pid", "backend_start")
    return Intent(**{name: sent[name] for name in names}, statements=tuple(sent["statements"])), _commit_of(
        events, sent
    )


def told_at_end(ops: "Ops", request: Request, events: Sequence[Event], version: str) -> dict[str, Any]:
    """What the ending of a run keeps of the file in which it ended: `statements` and `questions`, as plain JSON.

    Empty where the file cannot be read any more: an ending is written down all the same.
    """
    try:
        migration = next((one for one in scripts_of(ops, request) if one.version == version), None)
    except OpsError:
        return {}
    if migration is None:
        return {}
    statements = statements_of(events, migration)
    first = max(0, done_of(statements) - _BEFORE)
    kept = statements[first : first + STATEMENTS_KEPT]
    asked = list(questions(events, migration)) if any(one.outcome == UNKNOWN for one in statements) else []
    return {"statements": [asdict(one) for one in kept], "questions": [asdict(one) for one in asked]}


def questions(events: Sequence[Event], migration: Migration) -> Iterator[Question]:
    """How to find out what became of the last thing that was sent of a file, in the order in which to ask."""
    sent = _last_sent(events, migration.version)
    if sent is None:
        return
    yield Question(
        "Is the session that ran it still at work?",
        _STILL_AT_WORK.format(pid=int(sent["backend_pid"]), since=_literal(str(sent["backend_start"]))),
        "No row: it is gone. A row: it may still change things, so wait for it, or end it, before you ask on.",
    )
    xid = _commit_of(events, sent)
    if xid:
        yield Question(
            "Was its transaction committed?",
            f"select pg_xact_status({_literal(xid)}::xid8);",
            "committed: all of it is there. aborted: nothing of it is. in progress: ask again.",
        )
    for index in sent["statements"]:
        yield from _about_statement(migration.statements[index], is_alone=xid is None and len(sent["statements"]) == 1)
    yield Question(
        "Does the history have the file?",
        _ROW.format(version=_literal(migration.version)),
        _means_of_row(migration),
    )


def _last_sent(events: Sequence[Event], version: str) -> Mapping[str, Any] | None:
    return next((data for data in reversed([*_told(events, version)]) if "backend_pid" in data), None)


def _told(events: Sequence[Event], version: str) -> Iterator[Mapping[str, Any]]:
    kinds = {"statement_sent", "statement_finished"}
    return (event.data for event in events if event.kind in kinds and event.data and event.data["version"] == version)


def _commit_of(events: Sequence[Event], sent: Mapping[str, Any]) -> str | None:
    """The transaction whose COMMIT was the last thing that went out, if it was one."""
    for event in reversed(events):
        data = event.data or {}
        of_it = (data.get("version"), data.get("segment", sent["segment"])) == (sent["version"], sent["segment"])
        if event.kind in {"commit_sent", "batch_sent"} and of_it:
            return str(data["xid"])
        if data is sent:
            return None
    return None


def _about_statement(statement: Statement, *, is_alone: bool) -> Iterator[Question]:
    """What the catalog shows of a statement that ran outside a transaction."""
    if not is_alone:
        return
    from ops.apply_statements import meaning  # with the grammar, which only a run that ended in doubt needs

    means = meaning(statement)
    for index in (means.builds, means.rebuilds, *means.drops):
        if index is not None and (index.name or index.table):
            yield _about_index(index, is_dropped=index in means.drops)
            return
    if statement.stands_alone:
        yield Question(
            f"Did the statement on line {statement.word_line} do its work?",
            "",
            "The server keeps no record of what such a statement did; look at what it should have changed.",
        )


def _about_index(index: "Index", *, is_dropped: bool) -> Question:
    """Whether an index is there and valid; by its table where the statement leaves the name to the server."""
    of, name = ("c", index.name) if index.name else ("t", index.table)
    schema = f" and n.nspname = {_literal(index.schema)}" if index.schema else ""
    sql = _INDEXES.format(of=of, name=_literal(str(name)), schema=schema)
    there = "the index is there and good" if not is_dropped else "it was not dropped"
    gone = "nothing of it is there" if not is_dropped else "it is dropped"
    means = f"indisvalid true: {there}. No row: {gone}. indisvalid false: it is half made, and is to be cleaned up."
    return Question(f"What became of the index {name}?" if index.name else f"Which indexes has {name}?", sql, means)


def _means_of_row(migration: Migration) -> str:
    if migration.is_one_transaction:
        return "A row: all of the file is there. No row: nothing of it is."
    return "A row: all of the file is there. No row: not all of it is."


_STILL_AT_WORK = (
    "select state, xact_start, query from pg_stat_activity where pid = {pid} and backend_start = {since}::timestamptz;"
)
_ROW = "select version, name, cardinality(statements) from supabase_migrations.schema_migrations where version = {version};"
_INDEXES = (
    "select n.nspname, c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid "
    "join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace "
    "where {of}.relname = {name}{schema};"
)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
