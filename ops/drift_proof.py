"""Proving statements: run on a copy of the target until all that is left does what it says, and nothing else."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ops.catalog import MANAGED_SCHEMAS
from ops.database import Connection
from ops.drift_replay import schema_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.masking import mask_sql
from ops.rehearsal.copy import open_copy
from ops.rehearsal.report import ChangedObject
from ops.schema.comparing import LEFT_OUT_KINDS
from ops.schema.comparing import Pair
from ops.schema.comparing import change_of
from ops.schema.comparing import different
from ops.schema.deriving import SESSION
from ops.schema.deriving import Derived
from ops.schema.model import Schema
from ops.targets import Target

NOT_COMPARED = LEFT_OUT_KINDS - {"invalid index"} | {"database properties"}
"""What belongs to a server, and not to a project's schema."""

ROUNDS = 3
"""What does not do in a round is left out of the next, on a new copy. After so many nothing is proven."""

_STATEMENT_SECONDS = 120

Name = tuple[str, str, str]
"""Kind, schema and name of an object: what it is called in both schemas."""


@dataclass(frozen=True)
class Sides:
    """A target, its schema as it is there, and as it is wanted."""

    target: Target
    there: Schema
    wanted: Schema


@dataclass(frozen=True)
class Proof:
    """`statements` evened out, all of them and nothing else running, every object that has no entry in `reasons`.

    `reasons` say of the others why they are not. `note` is a sentence where nothing could be proven at all.
    """

    statements: tuple[str, ...]
    reasons: Mapping[Name, str]
    note: str = ""


def prove(
    sides: Sides,
    derived: Sequence[Derived],
    *,
    cache: Path | None,
    tell: Callable[[str], None],
    stop: Callable[[], bool],
) -> Proof:
    """Which of the derived statements do what they say. Raises OpsError(STOPPED) alone; what a copy lacks is a note."""
    differing = names_between(sides.wanted, sides.there)
    reasons = dict.fromkeys(differing - {name_of(one.object) for one in derived}, "nothing was derived")
    reasons |= {name_of(one.object): reason for one in derived if (reason := _unusable(one))}
    for number in range(ROUNDS):
        chosen = [one for one in derived if name_of(one.object) not in reasons]
        if not chosen:
            return Proof((), reasons)
        tell("proving the statements on a copy" if not number else "proving again without those that did not do")
        try:
            found = _round(sides, chosen, reasons, cache, tell, stop)
        except OpsError as error:
            if error.reason is Reason.STOPPED:
                raise
            return _nothing(differing, reasons, f"Nothing is proven: {error.message}")
        if not found:
            return Proof(tuple(statement for one in chosen for statement in one.statements), reasons)
        reasons |= found
    return _nothing(
        differing, reasons, "Nothing is proven: the statements need one another in a way that did not come apart."
    )


def _round(
    sides: Sides,
    chosen: Sequence[Derived],
    known: Collection[Name],
    cache: Path | None,
    tell: Callable[[str], None],
    stop: Callable[[], bool],
) -> dict[Name, str]:
    """Run these on a new copy; why some of them did not do, by object. Empty: all did, and nothing else was touched."""
    with open_copy(
        sides.target.database_url(),
        tools_bin=sides.target.all_settings.postgres.bin,
        cache=cache,
        demand=sides.target.settings.isolation,
        progress=tell,
        stop=stop,
    ) as copy:
        unlike = names_between(sides.there, schema_of(copy))  # says nothing about the statements
        with closing(copy.connect()) as connection:
            failed = dict(_run(connection, chosen))
        left = names_between(sides.wanted, schema_of(copy)) - unlike
    names = {name_of(one.object) for one in chosen}
    found = dict.fromkeys(names & left, "on a copy it did not even the difference out") | failed
    broken = left - names - set(known)
    if broken and not found:
        others = ", ".join(sorted(".".join(part for part in name[1:] if part) for name in broken)[:5])
        raise OpsError(Reason.UNEXPECTED, f"on a copy the statements also changed {others}.")
    return found


def _run(connection: Connection, chosen: Sequence[Derived]) -> Iterator[tuple[Name, str]]:
    """Run each object's statements, all of them or none; which did not run, and why."""
    connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
    for statement in SESSION:
        connection.execute(statement.encode())
    for one in chosen:
        try:
            with connection.transaction():
                for statement in one.statements:
                    connection.execute(statement.encode())
        except psycopg.Error as error:
            yield name_of(one.object), f"on a copy it failed (SQLSTATE {error.sqlstate or 'unknown'})"


def _unusable(one: Derived) -> str:
    """Why statements are not even tried: what people would be shown is not what would run."""
    if any(mask_sql(statement) != statement for statement in one.statements):
        return "its definition holds a secret, which is not shown"
    return one.reason


def _nothing(differing: Collection[Name], reasons: Mapping[Name, str], note: str) -> Proof:
    return Proof((), {name: reasons.get(name, "not proven") for name in differing}, note)


def name_of(one: ChangedObject) -> Name:
    return (one.kind, one.schema, one.name)


def pairs(before: Schema, after: Schema) -> list[Pair]:
    """The objects that differ between two schemas, as far as a project's own schema goes."""
    return different(before, after, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=NOT_COMPARED)


def names_between(before: Schema, after: Schema) -> frozenset[Name]:
    return frozenset(name_of(change_of(pair)) for pair in pairs(before, after))
