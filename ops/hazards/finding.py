"""All hazards of the pending files: our rules over what the files do, and the linter's second opinion."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from pglast import ast

from ops.hazards import access
from ops.hazards import compatibility
from ops.hazards import data_loss
from ops.hazards import encoding
from ops.hazards import exposure
from ops.hazards import foreign
from ops.hazards import held
from ops.hazards import irreversible
from ops.hazards import locks
from ops.hazards import prior_copies
from ops.hazards import rewrite
from ops.hazards import secrets
from ops.hazards import size
from ops.hazards import transaction
from ops.hazards import unchecked
from ops.hazards.function_rules import FUNCTION_RULES
from ops.hazards.linter import Finding
from ops.hazards.linter import LinterError
from ops.hazards.linter import lint
from ops.hazards.linter_rules import LINTED
from ops.hazards.linter_rules import OURS
from ops.hazards.model import PERHAPS_NEW
from ops.hazards.model import RULES
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.pending import Pending
from ops.hazards.rehearsed_rules import MORE_THAN_LISTED
from ops.hazards.rehearsed_rules import SEEN
from ops.hazards.secret_rules import SECRET_RULES
from ops.hazards.squawk import SquawkTool
from ops.hazards.timing import BUSY_HOUR
from ops.hazards.types_stale import TYPES_STALE
from ops.masking import printable
from ops.migrations import Migration

# Importing a topic registers its rules.
TOPICS = (
    *(data_loss, access, exposure, secrets, foreign, locks, rewrite, held, irreversible, transaction, size, encoding),
    *(compatibility, unchecked, prior_copies),
)

# What these say holds only for an object that was there before the plan.
_ABOUT_USED_OBJECTS = (HazardClass.LOCKS, HazardClass.REWRITE, HazardClass.SIZE, HazardClass.COMPATIBILITY)
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
    """Every rule that can fire, ours, the linter's, those of a rehearsal and of the hour, by class and name."""
    linted = [entry.rule for entry in LINTED.values()]
    order = list(HazardClass)
    rules = [*RULES.values(), *linted, *SEEN, MORE_THAN_LISTED, LINTER_FAILED, BUSY_HOUR, *FUNCTION_RULES]
    rules += [*SECRET_RULES, TYPES_STALE]
    return tuple(sorted(rules, key=lambda each: (order.index(each.hazard_class), each.id)))


INSTALLED = SquawkTool()


def find_hazards(
    migrations: Sequence[Migration], *, squawk: SquawkTool | None = INSTALLED, project_ref: str = ""
) -> tuple[Hazard, ...]:
    """What is dangerous in the pending files, taken together, in the order in which they run.

    `project_ref`: the Supabase project of the target; empty when it is not known. Sorted by version, then line, then
    the worst first. Never fails for what a file holds; a linter that is not there or fails is a hazard of its own.
    """
    if not migrations:
        return ()
    # The linter is a process of its own, so it works while our rules do.
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(_ask, migrations, squawk)
        pending = Pending(migrations, project_ref)
        found = set(_by_our_rules(pending))
        found.update(_by_the_linter(migrations, pending, asked.result()))
    return in_order(found)


def in_order(hazards: Iterable[Hazard]) -> tuple[Hazard, ...]:
    """By version, then line, then the worst first."""
    return tuple(sorted(hazards, key=lambda each: (each.version, each.line, -each.level.rank, each.rule, each.message)))


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
        index = act.index if found.index is None else found.index
        relation = found.relation or _relation_of(act.node, pending)
        if rule.hazard_class in _ABOUT_USED_OBJECTS and pending.is_perhaps_fresh(relation):
            level = min(found.level or rule.level, Level.INFO)
            found = replace(found, message=f"{found.message} {PERHAPS_NEW}", level=level)
        yield hazard_of(rule, act.migration.version, found, act.line, index, relation)


def hazard_of(
    rule: Rule, version: str, found: Found, line: int, index: int | None = None, relation: str = ""
) -> Hazard:
    """A rule's finding as a hazard; what the finding leaves open is as the rule and the place say."""
    level = found.level or rule.level
    where = found.line or line
    return Hazard(rule.id, rule.hazard_class, level, version, where, found.message, rule.safe_way, index, relation)


def _relation_of(node: Any, pending: Pending) -> str:
    relation = getattr(node, "relation", None) or getattr(node, "table", None)
    return str(pending.name(relation)) if isinstance(relation, ast.RangeVar) else ""


def _ask(migrations: Sequence[Migration], tool: SquawkTool | None) -> list[Finding] | LinterError:
    try:
        if tool is None:
            raise LinterError("the linter was not asked")
        return list(lint(migrations, tool))
    except LinterError as error:
        return error


def _by_the_linter(
    migrations: Sequence[Migration], pending: Pending, said: list[Finding] | LinterError
) -> Iterator[Hazard]:
    if isinstance(said, LinterError):
        message = f"There is no second opinion on locks: {said}."
        yield hazard_of(LINTER_FAILED, migrations[0].version, Found(message), 1)
        return
    for finding in said:
        yield from _second_opinion(finding, pending)


def _second_opinion(finding: Finding, pending: Pending) -> Iterator[Hazard]:
    """What our rules do not judge: the linter's other rules, and the statements that only its grammar reads."""
    index = _index_of(finding)
    statement = finding.migration.statements[index] if index is not None else None
    place = (finding.migration.version, statement.offset if statement else -1)
    is_unused = finding.rule.hazard_class in _ABOUT_USED_TABLES and place in pending.fresh_statements
    is_judged = finding.name in OURS and statement is not None and not statement.is_unread
    if not is_unused and not is_judged:
        where = finding.found.line
        found = Found(f"{finding.found.message}{_beginning_of(finding)}", where)
        yield hazard_of(finding.rule, finding.migration.version, found, where, index)


def _index_of(finding: Finding) -> int | None:
    """The statement in which the linter found something."""
    text, offset = finding.migration.text, 0
    for _ in range(finding.found.line - 1):
        offset = text.find("\n", offset) + 1
    starts = [statement.offset for statement in finding.migration.statements]
    at = bisect_right(starts, offset + finding.column) - 1
    return at if at >= 0 else None


def _beginning_of(finding: Finding) -> str:
    """The line's text, so that the message names what is meant."""
    lines = finding.migration.text.split("\n")
    return f" ({printable(lines[finding.found.line - 1].strip(), 60)})" if finding.found.line <= len(lines) else ""
