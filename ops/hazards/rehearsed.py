"""Hazards after a rehearsal: what it showed beside what was only read. Facts overrule guesses where they are facts.

A rewrite either happens on a copy or does not, with or without rows; so do locks, drops and what they take along.
Loss of data depends on rows that the copy may not have: it is never made milder here.
"""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from pglast import ast

from ops.amounts import size_text
from ops.hazards.finding import hazard_of
from ops.hazards.finding import in_order
from ops.hazards.model import PERHAPS_NEW
from ops.hazards.model import RULES
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.rehearsed_rules import ACCESS_OPENED
from ops.hazards.rehearsed_rules import MORE_THAN_LISTED
from ops.hazards.rehearsed_words import HOLDS_DATA
from ops.hazards.rehearsed_words import dropped
from ops.hazards.rehearsed_words import listed
from ops.hazards.spoken import Place
from ops.hazards.spoken import Spoken
from ops.hazards.spoken import spoken
from ops.hazards.unspoken import SMALL_BYTES
from ops.hazards.unspoken import TAKES_ALONG
from ops.hazards.unspoken import Unspoken
from ops.migrations import Migration
from ops.rehearsal.report import AccessChange
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts

# Rules of ALTER TABLE whose rewrite shows on a copy, be it empty or not.
_OVERRULED = {
    *("changing-column-type", "adding-field-with-default", "adding-computed-column", "changing-persistence"),
    "moving-a-table",
}
_SIZED = {HazardClass.LOCKS, HazardClass.REWRITE}
# These take as long as something else takes: a query, the rest of the file, those who use the table already.
_NOT_BY_SIZE = {
    *("refresh-blocks-readers", "lock-table", "lock-held-over-work", "require-concurrent-index-deletion"),
    "require-concurrent-partition-detach",
}
# These read tables that they do not name, but lock.
_BY_ALL_LOCKED = {"require-concurrent-reindex", "attaching-a-used-partition"}


def hazards_after(hazards: Iterable[Hazard], pending: Sequence[Migration], rehearsal: Rehearsal) -> tuple[Hazard, ...]:
    """The hazards of a plan with what its rehearsal showed: overruled, told with evidence, and new ones beside them.

    Only statements that ran on the copy count, however it ended. Where it was impossible in the end, nothing that was
    read becomes milder by it.
    """
    seen = _seen(pending, rehearsal)
    is_possible = rehearsal.outcome is not Outcome.IMPOSSIBLE
    found = [_judged_again(hazard, seen) if is_possible else hazard for hazard in hazards]
    by_place: dict[Place, list[Hazard]] = {}
    for hazard in found:
        if hazard.statement is not None:
            by_place.setdefault((hazard.version, hazard.statement), []).append(hazard)
    for place, facts in seen.facts.items():
        told = by_place.get(place, [])
        found += Unspoken(place, facts, told, seen.spoken[place], seen.with_data).hazards()
    found += _left_out(rehearsal)
    found += _opened(rehearsal.access_opened, found, pending)
    return in_order(set(found))


@dataclass(frozen=True)
class _Seen:
    """What ran: the facts of each statement that has any, and what it says itself; places that ran; those whose facts
    were cut; places that no reading judges (DO blocks, what the grammar does not take); sizes of relations there."""

    with_data: bool
    facts: Mapping[Place, StatementFacts]
    spoken: Mapping[Place, Spoken]
    ran: frozenset[Place]
    cut: frozenset[Place]
    opaque: frozenset[Place]
    bytes: Mapping[str, int]
    rows: Mapping[str, int]


def _seen(pending: Sequence[Migration], rehearsal: Rehearsal) -> _Seen:
    facts: dict[Place, StatementFacts] = {}
    ran: set[Place] = set()
    cut: set[Place] = set()
    opaque: set[Place] = set()
    by_version = {migration.version: migration for migration in pending}
    for file in rehearsal.files:
        migration = by_version.get(file.version)
        if migration is None:
            continue
        told = {one.index for one in file.statements}
        facts.update({(file.version, one.index): one for one in file.statements})
        cut.update((file.version, one.index) for one in file.statements if one.more)
        for index, statement in enumerate(migration.statements):
            place = (file.version, index)
            if file.outcome == "passed" or index < migration.done + file.ran:
                ran.add(place)
            if file.left_out and index not in told:
                cut.add(place)
            if statement.is_unread or (statement.tree and isinstance(statement.tree.node, ast.DoStmt)):
                opaque.add(place)
    sizes, rows = _sizes(facts.values())
    said = spoken(pending, facts)
    return _Seen(rehearsal.with_data, facts, said, frozenset(ran), frozenset(cut), frozenset(opaque), sizes, rows)


def _sizes(facts: Iterable[StatementFacts]) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes and rows on the target of every relation of which they are known."""
    sizes: dict[str, int] = {}
    rows: dict[str, int] = {}
    for statement in facts:
        sized: list[HeldLock | Rewrite] = [*statement.locks, *statement.rewrites]
        for one in sized:
            if one.bytes is not None:
                sizes[one.relation] = max(one.bytes, sizes.get(one.relation, 0))
            if one.rows is not None:
                rows[one.relation] = max(one.rows, rows.get(one.relation, 0))
    return sizes, rows


# --- what was read before


def _judged_again(hazard: Hazard, seen: _Seen) -> Hazard:
    """One hazard with the evidence of its statement."""
    if hazard.statement is None or (hazard.version, hazard.statement) not in seen.ran:
        return hazard
    place = (hazard.version, hazard.statement)
    facts = seen.facts.get(place)
    if hazard.message.endswith(PERHAPS_NEW) and facts and any(one.relation == hazard.relation for one in facts.locks):
        # Locks are told of what was there before the plan.
        message = hazard.message.removesuffix(f" {PERHAPS_NEW}")
        hazard = replace(hazard, message=message, level=RULES[hazard.rule].level)
    if hazard.hazard_class is HazardClass.REWRITE:
        hazard = _rewrite_judged_again(hazard, facts, place, seen)
    elif hazard.hazard_class in (HazardClass.DATA_LOSS, HazardClass.IRREVERSIBLE) and facts is not None:
        hazard = _loss_with_evidence(hazard, facts, seen)
    elif hazard.rule == "calls-unread-function" and seen.with_data and place not in seen.cut:
        return _told(hazard, "What it did in the rehearsal is told here.", Level.INFO)
    if hazard.level > Level.INFO and _is_small_work(hazard, facts, seen):
        size = size_text(seen.bytes[hazard.relation], seen.rows.get(hazard.relation))
        return _told(hazard, f"{hazard.relation} is small on the target: {size}.", Level.INFO)
    return hazard


def _is_small_work(hazard: Hazard, facts: StatementFacts | None, seen: _Seen) -> bool:
    """What it does takes as long as its relation is large, and that is small."""
    is_sized = hazard.hazard_class in _SIZED or hazard.rule == "backfill-with-ddl"
    if not is_sized or hazard.rule in _NOT_BY_SIZE:
        return False
    relations = {hazard.relation}
    if hazard.rule in _BY_ALL_LOCKED and facts is not None:
        relations.update(one.relation for one in facts.locks)
    return all(seen.bytes.get(one, SMALL_BYTES) < SMALL_BYTES for one in relations)


def _rewrite_judged_again(hazard: Hazard, facts: StatementFacts | None, place: Place, seen: _Seen) -> Hazard:
    rewrites = [one for one in facts.rewrites if one.kind != "truncated"] if facts else []
    tables = [one for one in rewrites if one.kind != "index"]
    if tables:
        mine = [one for one in tables if one.relation == hazard.relation]
        runs_others = seen.spoken[place].runs_others
        return _told(hazard, f"In the rehearsal it rewrote {listed(mine if mine and runs_others else tables)}.")
    # Inside a DO block, a condition on rows may have kept it from happening.
    is_certain = hazard.rule in _OVERRULED and place not in seen.opaque and place not in seen.cut
    if not is_certain:
        return hazard
    if rewrites:
        return _told(hazard, f"In the rehearsal it only built anew {listed(rewrites)}.", Level.CAUTION)
    return _told(hazard, "In the rehearsal it rewrote nothing.", Level.INFO)


def _loss_with_evidence(hazard: Hazard, facts: StatementFacts, seen: _Seen) -> Hazard:
    """A loss with what goes along, and with the rows that went; its level stays."""
    along = [one for one in facts.drops if one.cascaded and one.kind in HOLDS_DATA and hazard.rule in TAKES_ALONG]
    mine = [one for one in facts.drops if not one.cascaded and one.name == hazard.relation and one.bytes is not None]
    if mine:
        hazard = _told(hazard, f"It holds {size_text(mine[0].bytes, mine[0].rows)} on the target.")
    if along:
        hazard = _told(hazard, f"In the rehearsal it took along {dropped(along)}.")
    rows = sum(one.deleted for one in facts.rows if one.relation == hazard.relation) if seen.with_data else 0
    if rows:
        hazard = _told(hazard, f"In the rehearsal it deleted {rows:,} rows.")
    return hazard


def _told(hazard: Hazard, evidence: str, at_most: Level = Level.FORBIDDEN) -> Hazard:
    return replace(hazard, message=f"{hazard.message} {evidence}", level=min(hazard.level, at_most))


def _left_out(rehearsal: Rehearsal) -> Iterator[Hazard]:
    """Statements of which nothing is known any more."""
    for one in rehearsal.files:
        if one.left_out:
            message = f"In the rehearsal {one.left_out:,} statements did more than could be listed and judged."
            yield hazard_of(MORE_THAN_LISTED, one.version, Found(message), 1)


# --- who may read and write


def _opened(changes: Sequence[AccessChange], told: Sequence[Hazard], pending: Sequence[Migration]) -> Iterator[Hazard]:
    """What the whole plan opens, unless a rule said it of the same object already."""
    access = [one for one in told if one.hazard_class is HazardClass.ACCESS]
    for change in changes:
        shown = change.object.partition("(")[0]
        said = [one for one in access if one.rule == change.rule]
        if any(one.relation == shown or re.search(rf"(?<!\w){re.escape(shown)}(?!\w)", one.message) for one in said):
            continue
        rule = RULES.get(change.rule, ACCESS_OPENED)
        version, line = _mention(shown, pending)
        level = Level(change.level) if change.level in set(Level) else rule.level
        message = f"{change.message.rstrip('.')}, as the rehearsal shows."
        yield hazard_of(rule, version, Found(message, level=level), line, relation=shown)


def _mention(name: str, pending: Sequence[Migration]) -> tuple[str, int]:
    """Version and line where the pending files speak of an object last; the end of the story if they never do."""
    word = re.compile(rf"(?<!\w){re.escape(name.rpartition('.')[2].rpartition(' ')[2])}(?!\w)", re.IGNORECASE)
    for migration in reversed(pending):
        places = [found.start() for found in word.finditer(migration.text)]
        if places:
            return migration.version, migration.text.count("\n", 0, places[-1]) + 1
    return (pending[-1].version if pending else "", 1)
