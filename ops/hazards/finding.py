"""All hazards of the pending files: our rules over what the files do, and the linter's second opinion."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Sequence

# Importing these modules registers their rules.
from ops.hazards import access as _access
from ops.hazards import data_loss as _data_loss
from ops.hazards import exposure as _exposure
from ops.hazards import locks as _locks
from ops.hazards import secrets as _secrets
from ops.hazards import transaction as _transaction
from ops.hazards import unchecked as _unchecked
from ops.hazards.linter import Finding
from ops.hazards.linter import LinterError
from ops.hazards.linter import SquawkTool
from ops.hazards.linter import lint
from ops.hazards.linter_rules import LINTED
from ops.hazards.model import RULES
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.pending import Pending
from ops.migrations import Migration

# What the linter says about locks and clients of a table does not hold while nobody uses that table yet.
_ABOUT_USED_TABLES = (HazardClass.LOCKS, HazardClass.COMPATIBILITY)

LINTER_FAILED = Rule(
    "linter-failed",
    HazardClass.UNCHECKED,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Install the package squawk-cli, and make the plan again.",
)


def all_rules() -> tuple[Rule, ...]:
    """Every rule that can fire, ours and the linter's, by class and name."""
    linted = [entry.rule for entry in LINTED.values()]
    order = list(HazardClass)
    rules = [*RULES.values(), *linted, LINTER_FAILED]
    return tuple(sorted(rules, key=lambda each: (order.index(each.hazard_class), each.id)))


def find_hazards(
    migrations: Sequence[Migration], *, squawk: SquawkTool | None = SquawkTool()
) -> tuple[Hazard, ...]:
    """What is dangerous in the pending files, taken together, in the order in which they run.

    Sorted by version, then line, then the worst first. Never fails for what a file holds; a linter that is not there
    or fails is a hazard of its own.
    """
    if not migrations:
        return ()
    pending = Pending(migrations)
    found = {*_by_our_rules(pending), *_by_the_linter(migrations, pending, squawk)}
    return tuple(sorted(found, key=lambda each: (each.version, each.line, -each.level.rank, each.rule, each.message)))
