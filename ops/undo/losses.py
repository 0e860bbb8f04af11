"""What a reversal would lose, in the numbers that people are told, and counted once more when it runs.

They agreed to those numbers. What was written since is locked, counted before the first statement in its own
transaction, and where it is more than they were told, nothing is done.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from ops.database import Connection
from ops.prior.put_back import columns_now
from ops.prior.put_back import count_others
from ops.prior.put_back import rows_said
from ops.prior.tables import Kept
from ops.prior.tables import kept_from_json
from ops.requests import Request
from ops.undo.contents import Loss
from ops.undo.contents import Table
from ops.undo.contents import named
from ops.undo.contents import rows_in
from ops.undo.contents import values_in
from ops.undo.source import PLAIN_OUTPUT
from ops.undo.source import Source
from ops.undo.source import written_now

Since = Mapping[str, tuple[int, int, int]]
"""By the name of a copy beside the target's table: rows written, changed and deleted since what the copy holds."""

_NAMED = 12


def loss_facts(
    losses: Iterable[Loss], *, since: Since | None = None, set_back: Sequence[tuple[Kept, int]] = ()
) -> dict[str, Any]:
    """The numbers as a plan keeps them. `set_back` are copies that overwrite so many rows that hold something else now."""
    return {
        "losses": [one.to_json() for one in losses],
        "since": {table: list(numbers) for table, numbers in (since or {}).items()},
        "set_back": [{"kept": kept.to_json(), "rows": rows} for kept, rows in set_back],
    }


def written_since(source: Source, here: Connection, copies: Sequence[Kept]) -> Since:
    """What was written since a backup into the tables that it has too. Raises psycopg.Error."""
    return {
        kept.table: source.written_since(here, kept, columns)
        for kept in copies
        if (columns := columns_now(here, kept.of))
    }


def since_said(copies: Sequence[Kept], since: Since) -> tuple[str, ...]:
    """Sentences with numbers: in all first, then by table."""
    by_table = [f"{one.name}: {_numbers(*since[one.table])}" for one in copies if any(since.get(one.table, ()))]
    if not by_table:
        return ("No row was written since the backup in a table that it has.",)
    named_tables = by_table[:_NAMED]
    if len(by_table) > _NAMED:
        named_tables.append(f"{len(by_table) - _NAMED} more tables")
    total = (sum(numbers) for numbers in zip(*since.values(), strict=True))
    return (f"Since the backup {_numbers(*total)}; all of that is undone.", *(f"{one}." for one in named_tables))


def more_lost(request: Request, connection: Connection) -> list[str]:
    """What would be lost beyond what people were told of, in words; none where it is not more.

    In a transaction what is counted is locked until it ends, as what comes next takes it anyway. Raises psycopg.Error.
    """
    facts = request.plan.get("facts") or {}
    if connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS:
        _lock(connection, facts)
    with connection.transaction(force_rollback=True):
        connection.execute(PLAIN_OUTPUT.encode())
        return [*_more_gone(connection, facts), *_more_undone(connection, facts), *_more_set_back(connection, facts)]


def _lock(connection: Connection, facts: Mapping[str, Any]) -> None:
    """The tables that lose something, against writers; those that go, or are emptied, against everybody."""
    emptied = {tuple(one["of"]) for one in facts.get("sides", ()) if one["table"] in facts.get("since", {})}
    going = emptied | {tuple(one["table"]) for one in facts.get("losses", ())}
    written = {tuple(one["kept"]["of"]) for one in facts.get("set_back", ())} - going
    for tables, mode in ((going, "ACCESS EXCLUSIVE"), (written, "SHARE ROW EXCLUSIVE")):
        there = sorted(table for table in tables if columns_now(connection, table))
        if there:
            listed = sql.SQL(", ").join(sql.Identifier(*table) for table in there)
            connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(listed, sql.SQL(mode)))


def _more_gone(connection: Connection, facts: Mapping[str, Any]) -> Iterator[str]:
    """What nobody could count is passed over: that is what people were told."""
    by_table: dict[Table, list[Mapping[str, Any]]] = {}
    for one in facts.get("losses", ()):
        if one["held"] is not None:
            by_table.setdefault((one["table"][0], one["table"][1]), []).append(one)
    for table, losses in by_table.items():
        if not columns_now(connection, table):
            continue
        defaults = {one["column"]: one["default"] for one in losses if one["column"]}
        held = values_in(connection, table, defaults)[1] if defaults else (rows_in(connection, table),)
        for one, now in zip(losses, held, strict=True):
            if now > one["held"]:
                what = "values" if one["column"] else "rows"
                told = f"where people were told of {one['held']:,}"
                yield f"what goes with {named(table, one['column'])} ({now:,} {what}, {told})"


def _more_undone(connection: Connection, facts: Mapping[str, Any]) -> Iterator[str]:
    since: Since = facts.get("since", {})
    for side in facts.get("sides", ()):
        kept = kept_from_json(side)
        if kept.table not in since:
            continue
        now, told = written_now(connection, kept, columns_now(connection, kept.of)), since[kept.table]
        if any(one > other for one, other in zip(now, told, strict=True)):
            yield (
                f"what is undone in {named(kept.of)} ({_numbers(*now)} since the backup, where people were told of "
                f"{_numbers(*told)})"
            )


def _more_set_back(connection: Connection, facts: Mapping[str, Any]) -> Iterator[str]:
    for one in facts.get("set_back", ()):
        kept, told = kept_from_json(one["kept"]), one["rows"]
        now = count_others(connection, kept)
        if now > told:
            yield f"what is set back in {named(kept.of)} ({rows_said(now)}, where people were told of {told:,})"


def _numbers(new: int, changed: int, gone: int) -> str:
    return f"{rows_said(new)} written, {changed:,} changed, {gone:,} deleted"
