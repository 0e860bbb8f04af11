"""All hazards of the pending files: our rules over what the files do, and the linter's second opinion."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Sequence

from pglast import ast

from ops.hazards import access
from ops.hazards import data_loss
from ops.hazards import exposure
from ops.hazards import locks
from ops.hazards import secrets
from ops.hazards import transaction
from ops.hazards import unchecked
from ops.hazards.linter import Finding
from ops.hazards.linter import LinterError
from ops.hazards.linter import SquawkTool
from ops.hazards.linter import lint
from ops.hazards.linter_rules import LINTED
from ops.hazards.model import RULES
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.pending import Pending
from ops.masking import printable
from ops.migrations import Migration
from ops.migrations import Statement

# Importing a topic registers its rules.
TOPICS = (data_loss, access, exposure, secrets, locks, transaction, unchecked)

# What the linter says about locks and clients of a table does not hold while nobody uses that table yet.
_ABOUT_USED_TABLES = (HazardClass.LOCKS, HazardClass.COMPATIBILITY)
# The linter reports such a constraint under its general rule as well.
_SAID_TWICE = "constraint-missing-not-valid"
_SAY_IT_BETTER = {
    "adding-foreign-key-constraint",
    "disallowed-unique-constraint",
    "adding-serial-primary-key-field",
}

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


INSTALLED = SquawkTool()


def find_hazards(migrations: Sequence[Migration], *, squawk: SquawkTool | None = INSTALLED) -> tuple[Hazard, ...]:
    """What is dangerous in the pending files, taken together, in the order in which they run.

    Sorted by version, then line, then the worst first. Never fails for what a file holds; a linter that is not there
    or fails is a hazard of its own.
    """
    if not migrations:
        return ()
    pending = Pending(migrations)
    found = {*_by_our_rules(pending), *_by_the_linter(migrations, pending, squawk)}
    return tuple(sorted(found, key=lambda each: (each.version, each.line, -each.level.rank, each.rule, each.message)))


def _by_our_rules(pending: Pending) -> Iterator[Hazard]:
    by_type: dict[type, list[Rule]] = defaultdict(list)
    for rule in RULES.values():
        for kind in rule.on:
            by_type[kind].append(rule)
    for act in pending.follow():
        for rule in by_type.get(type(act.node), ()):
            yield from _hazards(rule, act, pending)


def _hazards(rule: Rule, act: Act, pending: Pending) -> Iterator[Hazard]:
    for said in rule.check(act, pending) if rule.check else ():
        found = Found(said) if isinstance(said, str) else said
        yield _hazard(rule, act.migration.version, found, act.line)


def _hazard(rule: Rule, version: str, found: Found, line: int) -> Hazard:
    level = found.level or rule.level
    return Hazard(rule.id, rule.hazard_class, level, version, found.line or line, found.message, rule.safe_way)


def _by_the_linter(migrations: Sequence[Migration], pending: Pending, tool: SquawkTool | None) -> Iterator[Hazard]:
    try:
        if tool is None:
            raise LinterError("the linter was not asked")
        findings = list(lint(migrations, tool))
    except LinterError as error:
        message = f"Locks and broken clients were not looked for: {error}."
        yield _hazard(LINTER_FAILED, migrations[0].version, Found(message), 1)
        return
    said_better = {
        (finding.migration.version, finding.found.line) for finding in findings if finding.rule.id in _SAY_IT_BETTER
    }
    for finding in findings:
        statement = _statement_of(finding)
        place = (finding.migration.version, statement.offset if statement else -1)
        is_unused = finding.rule.hazard_class in _ABOUT_USED_TABLES and place in pending.fresh_statements
        is_doubled = finding.rule.id == _SAID_TWICE and (finding.migration.version, finding.found.line) in said_better
        if not is_unused and not is_doubled:
            message = f"{finding.found.message}{_table_of(statement)}"
            yield _hazard(finding.rule, finding.migration.version, Found(message), finding.found.line)


def _statement_of(finding: Finding) -> Statement | None:
    """The statement in which the linter found something."""
    text, offset = finding.migration.text, 0
    for _ in range(finding.found.line - 1):
        offset = text.find("\n", offset) + 1
    starts = [statement.offset for statement in finding.migration.statements]
    at = bisect_right(starts, offset + finding.column) - 1
    return finding.migration.statements[at] if at >= 0 else None


def _table_of(statement: Statement | None) -> str:
    relation = getattr(statement.tree.node, "relation", None) if statement and statement.tree else None
    if not isinstance(relation, ast.RangeVar):
        return ""
    return f" ({printable('.'.join(part for part in (relation.schemaname, relation.relname) if part))})"
