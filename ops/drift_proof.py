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
from ops.schema.of_project import COMPARED_BETWEEN_TARGETS
from ops.schema.of_project import of_project
from ops.targets import Target

BESIDE_HISTORY = LEFT_OUT_KINDS - {"invalid index"} | {"database properties"}
"""Kinds that are not compared with what a history makes: the copy takes them over from the target."""

BETWEEN_TARGETS = LEFT_OUT_KINDS - COMPARED_BETWEEN_TARGETS | {"database properties"}
"""Kinds that are not compared between two targets: each server has its own."""

ROUNDS = 3
"""What does not do in a round is left out of the next, on a new copy. After so many nothing is proven."""

_STATEMENT_SECONDS = 120
_UNDERIVED = "nothing was derived"

Name = tuple[str, str, str]
"""Kind, schema and name of an object: what it is called in both schemas."""


@dataclass(frozen=True)
class Sides:
    """A target, its schema as it is there, and as it is wanted; `left_out` are kinds that are not compared."""

    target: Target
    there: Schema
    wanted: Schema
    left_out: frozenset[str]

    def pairs(self) -> list[Pair]:
        """The objects that differ, as far as a project's own schema goes."""
        return pairs(self.wanted, self.there, self.left_out)

    def names(self, copied: Schema | None = None, *, as_there: bool = False) -> frozenset[Name]:
        """Their names; with `copied` those of what a copy has otherwise than is wanted, or than is there."""
        found = pairs(self.there if as_there else self.wanted, copied or self.there, self.left_out)
        return frozenset(name_of(change_of(pair)) for pair in found)


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
    differing = sides.names()
    reasons = {name_of(one.object): reason for one in derived if (reason := _unusable(one))}
    for number in range(ROUNDS):
        chosen = [one for one in derived if name_of(one.object) not in reasons]
        if not chosen:
            return Proof((), {name: reasons.get(name, _UNDERIVED) for name in differing})
        tell("proving the statements on a copy" if not number else "proving again without those that did not do")
        try:
            found, left = _round(sides, chosen, reasons, cache, tell, stop)
        except OpsError as error:
            if error.reason is Reason.STOPPED:
                raise
            return _nothing(differing, reasons, f"Nothing is proven: {error.message}")
        if not found:  # what else differed went along with these, such as the privileges of a table
            reasons = {name: reasons.get(name, _UNDERIVED) for name in left & differing}
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
) -> tuple[dict[Name, str], frozenset[Name]]:
    """Run these on a new copy; why some of them did not do, by object (empty: all did, and nothing else was touched), and
    what still differs."""
    with open_copy(
        sides.target.database_url(),
        tools_bin=sides.target.all_settings.postgres.bin,
        cache=cache,
        demand=sides.target.settings.isolation,
        progress=tell,
        stop=stop,
    ) as copy:
        unlike = sides.names(of_project(schema_of(copy)), as_there=True)  # says nothing about the statements
        with closing(copy.connect()) as connection:
            failed = dict(_run(connection, chosen))
        left = sides.names(of_project(schema_of(copy))) - unlike
    names = {name_of(one.object) for one in chosen}
    found = dict.fromkeys(names & left, "on a copy it did not even the difference out") | failed
    broken = left - names - set(known) - sides.names()
    if broken and not found:
        others = ", ".join(sorted(".".join(part for part in name[1:] if part) for name in broken)[:5])
        raise OpsError(Reason.UNEXPECTED, f"on a copy the statements also changed {others}.")
    return found, left


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


def pairs(before: Schema, after: Schema, left_out: Collection[str]) -> list[Pair]:
    """The objects that differ between two schemas, as far as a project's own schema goes."""
    return different(before, after, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=left_out)
