"""What a hazard is, and how a rule that finds one is written down."""

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from typing import Any

from ops.migration import Migration
from ops.migration import Statement


class HazardClass(StrEnum):
    """What a hazard endangers. Approvals can be asked for class by class."""

    DATA_LOSS = "data_loss"
    ACCESS = "access"
    SECRETS = "secrets"
    FOREIGN_PROJECT = "foreign_project"
    LOCKS = "locks"
    REWRITE = "rewrite"
    IRREVERSIBLE = "irreversible"
    TRANSACTION = "transaction"
    SIZE = "size"
    ENCODING = "encoding"
    COMPATIBILITY = "compatibility"
    UNCHECKED = "unchecked"


class Level(StrEnum):
    """How bad, in rising order. A plan with a forbidden hazard is shown, and its push is refused."""

    INFO = "info"
    CAUTION = "caution"
    DANGER = "danger"
    FORBIDDEN = "forbidden"

    @property
    def rank(self) -> int:
        """0 for info to 3 for forbidden."""
        return list(Level).index(self)

    def __lt__(self, other: str) -> bool:
        return self.rank < Level(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Level(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Level(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Level(other).rank


@dataclass(frozen=True)
class Hazard:
    """One named danger. `line` counts from 1 in the migration's file; `message` holds no secret.

    `statement` is the index of its statement in the file, None for the file as a whole. `relation` is the table, view
    or index that it is about, as `public.orders`; empty where there is none. A rehearsal is compared by these two.
    """

    rule: str
    hazard_class: HazardClass
    level: Level
    version: str
    line: int
    message: str
    safe_way: str
    statement: int | None = None
    relation: str = ""

    def to_json(self) -> dict[str, str | int]:
        """The hazard as `plan --json` and `lint --json` print it."""
        return {
            "rule": self.rule,
            "class": self.hazard_class.value,
            "level": self.level.value,
            "version": self.version,
            "line": self.line,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a migration does: a statement, or one inside a CTE or a DO block. `node` is its tree.

    For rules about whole files there is one more act per migration; its node is the migration, its line is 1.
    `is_certain` is False inside a DO block, where a condition may keep it from happening. A None node is a statement
    that could not be read.
    """

    migration: Migration
    index: int | None
    node: Any
    line: int
    is_certain: bool = True

    @property
    def statement(self) -> Statement | None:
        """The statement of the file that the act is, or is inside of; None for the act of the whole file."""
        return None if self.index is None else self.migration.statements[self.index]

    @property
    def is_done(self) -> bool:
        """Its statement is on the target already, and runs no more."""
        return self.index is not None and self.index < self.migration.done


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule says of an act, where it is not simply a message: another line, a lower level, the relation.

    `index` is given by rules about whole files, for the statement that is meant.
    """

    message: str
    line: int = 0
    level: Level | None = None
    relation: str = ""
    index: int | None = None


Check = Callable[[Act, Any], Iterator[str | Found]]


@dataclass(frozen=True)
class Rule:
    """A rule with an example that it catches and one that it leaves alone; the tests run both."""

    id: str
    hazard_class: HazardClass
    level: Level
    caught: str
    left_alone: str
    safe_way: str
    on: tuple[type, ...] = ()
    check: Check | None = field(default=None, compare=False, repr=False)


RULES: dict[str, Rule] = {}

PERHAPS_NEW = "The plan itself may have made it."
"""Ends the message of a hazard that is told as info, since CREATE … IF NOT EXISTS or OR REPLACE stands before it."""


def rule(
    id: str,
    hazard_class: HazardClass,
    level: Level,
    *,
    on: tuple[type, ...],
    caught: str,
    left_alone: str,
    safe_way: str,
) -> Callable[[Check], Check]:
    """Make a function a rule: it is called with each act whose node is of a type in `on`, and the pending set."""

    def register(check: Check) -> Check:
        RULES[id] = Rule(id, hazard_class, level, caught, left_alone, safe_way, on, check)
        return check

    return register
