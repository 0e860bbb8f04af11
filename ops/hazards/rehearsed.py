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
from dataclasses import field
from dataclasses import replace

from pglast import ast

from ops.hazards.finding import hazard_of
from ops.hazards.finding import in_order
from ops.hazards.model import PERHAPS_NEW
from ops.hazards.model import RULES
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.rehearsed_rules import ACCESS_OPENED
from ops.hazards.rehearsed_rules import DEPENDENT_DROP_SEEN
from ops.hazards.rehearsed_rules import DROP_SEEN
from ops.hazards.rehearsed_rules import LOCK_SEEN
from ops.hazards.rehearsed_rules import POLICY_DROP_SEEN
from ops.hazards.rehearsed_rules import REWRITE_SEEN
from ops.hazards.rehearsed_rules import ROWS_DELETED_SEEN
from ops.hazards.rehearsed_rules import ROWS_UPDATED_SEEN
from ops.masking import printable
from ops.migrations import Migration
from ops.rehearsal.report import AccessChange
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts

SMALL_BYTES = 2**20
"""A table of the target below this is done with before anybody notices."""

_LARGE_BYTES = 2**30
_MANY_ROWS = 10_000
_TOLD = 5  # names in a message

# Rules of ALTER TABLE whose rewrite shows on a copy, be it empty or not.
_OVERRULED = {
    *("changing-column-type", "adding-field-with-default", "adding-computed-column", "changing-persistence"),
    "moving-a-table",
}
_SIZED = {HazardClass.LOCKS, HazardClass.REWRITE}
_HOLDS_DATA = {"table", "table column", "foreign table", "materialized view", "sequence", "schema"}
_BLOCKS_WRITERS = {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}
_Place = tuple[str, int]


def hazards_after(hazards: Iterable[Hazard], pending: Sequence[Migration], rehearsal: Rehearsal) -> tuple[Hazard, ...]:
    """The hazards of a plan with what its rehearsal showed: overruled, told with evidence, and new ones beside them.

    Only statements that ran on the copy count. A rehearsal that was impossible changes nothing.
    """
    if rehearsal.outcome is Outcome.IMPOSSIBLE:
        return tuple(hazards)
    seen = _seen(pending, rehearsal)
    found = [_judged_again(hazard, seen) for hazard in hazards]
    by_place: dict[_Place, list[Hazard]] = {}
    for hazard in found:
        if hazard.statement is not None:
            by_place.setdefault((hazard.version, hazard.statement), []).append(hazard)
    for place, facts in seen.facts.items():
        told = by_place.get(place, [])
        found += _New(place, facts, told, seen).hazards()
    found += _opened(rehearsal.access_opened, found, pending)
    return in_order(set(found))


@dataclass(frozen=True)
class _Seen:
    """What ran: the facts of each statement that has any; places that ran; those whose facts were cut; places that no
    reading judges (DO blocks, what the grammar does not take); sizes of relations on the target."""

    with_data: bool
    facts: Mapping[_Place, StatementFacts]
    ran: frozenset[_Place]
    cut: frozenset[_Place]
    opaque: frozenset[_Place]
    bytes: Mapping[str, int]
    rows: Mapping[str, int]


def _seen(pending: Sequence[Migration], rehearsal: Rehearsal) -> _Seen:
    facts: dict[_Place, StatementFacts] = {}
    ran: set[_Place] = set()
    cut: set[_Place] = set()
    opaque: set[_Place] = set()
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
            if file.outcome == "passed" or index < file.ran:
                ran.add(place)
            if file.left_out and index not in told:
                cut.add(place)
            if statement.is_unread or (statement.tree and isinstance(statement.tree.node, ast.DoStmt)):
                opaque.add(place)
    sizes, rows = _sizes(facts.values())
    return _Seen(rehearsal.with_data, facts, frozenset(ran), frozenset(cut), frozenset(opaque), sizes, rows)


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
    is_sized = hazard.hazard_class in _SIZED or hazard.rule == "backfill-with-ddl"
    if is_sized and hazard.level > Level.INFO and seen.bytes.get(hazard.relation, SMALL_BYTES) < SMALL_BYTES:
        size = size_text(seen.bytes[hazard.relation], seen.rows.get(hazard.relation))
        return _told(hazard, f"{hazard.relation} is small on the target: {size}.", Level.INFO)
    return hazard


def _rewrite_judged_again(hazard: Hazard, facts: StatementFacts | None, place: _Place, seen: _Seen) -> Hazard:
    rewrites = [one for one in facts.rewrites if one.kind != "truncated"] if facts else []
    tables = [one for one in rewrites if one.kind != "index"]
    if tables:
        return _told(hazard, f"In the rehearsal it rewrote {_listed(tables)}.")
    # Inside a DO block, a condition on rows may have kept it from happening.
    is_certain = hazard.rule in _OVERRULED and place not in seen.opaque and place not in seen.cut
    if not is_certain:
        return hazard
    if rewrites:
        return _told(hazard, f"In the rehearsal it only built anew {_listed(rewrites)}.", Level.CAUTION)
    return _told(hazard, "In the rehearsal it rewrote nothing.", Level.INFO)


def _loss_with_evidence(hazard: Hazard, facts: StatementFacts, seen: _Seen) -> Hazard:
    """A loss with what goes along, and with the rows that went; its level stays."""
    along = [one for one in facts.drops if one.cascaded and one.kind in _HOLDS_DATA]
    mine = [one for one in facts.drops if not one.cascaded and one.name == hazard.relation and one.bytes is not None]
    if mine:
        hazard = _told(hazard, f"It holds {size_text(mine[0].bytes, mine[0].rows)} on the target.")
    if along:
        hazard = _told(hazard, f"In the rehearsal it took along {_dropped(along)}.")
    rows = sum(one.deleted for one in facts.rows if one.relation == hazard.relation) if seen.with_data else 0
    if rows:
        hazard = _told(hazard, f"In the rehearsal it deleted {rows:,} rows.")
    return hazard


def _told(hazard: Hazard, evidence: str, at_most: Level = Level.FORBIDDEN) -> Hazard:
    return replace(hazard, message=f"{hazard.message} {evidence}", level=min(hazard.level, at_most))


# --- what nobody saw before


@dataclass(frozen=True)
class _New:
    """The hazards of one statement that no rule has told yet."""

    place: _Place
    facts: StatementFacts
    told: Sequence[Hazard]
    seen: _Seen
    relations: set[str] = field(init=False)

    def __post_init__(self) -> None:
        """`relations`: those of which a drop, rewrite or lock is told already."""
        classes = (HazardClass.DATA_LOSS, HazardClass.LOCKS, HazardClass.REWRITE, HazardClass.IRREVERSIBLE)
        object.__setattr__(self, "relations", {one.relation for one in self.told if one.hazard_class in classes})

    def hazards(self) -> Iterator[Hazard]:
        """Drops, deleted rows, rewrites, locks; each relation once, for the worst."""
        yield from self._drops()
        yield from self._rows()
        yield from self._rewrites()
        yield from self._locks()

    def _drops(self) -> Iterator[Hazard]:
        is_opaque = self.place in self.seen.opaque
        new = [one for one in self.facts.drops if one.cascaded or is_opaque]
        lost = [one for one in new if one.kind in _HOLDS_DATA and not self._is_told(one)]
        if lost:
            self.relations.update(one.name for one in lost)
            yield self._hazard(DROP_SEEN, f"In the rehearsal it dropped {_dropped(lost)}.", lost[0].name)
        policies = [one for one in new if one.kind == "policy"]
        if policies:
            yield self._hazard(POLICY_DROP_SEEN, f"In the rehearsal it dropped {_dropped(policies)}.")
        others = [one for one in new if one.kind not in {*_HOLDS_DATA, "policy"}]
        if others:
            yield self._hazard(DEPENDENT_DROP_SEEN, f"In the rehearsal it dropped {_dropped(others)}.")

    def _is_told(self, drop: Dropped) -> bool:
        """A loss of data is told for this object, or for the statement that took it along."""
        table = drop.name.rpartition(".")[0] if drop.kind == "table column" else drop.name
        losses = [one for one in self.told if one.hazard_class is HazardClass.DATA_LOSS]
        return any(one.relation == table for one in losses) or (drop.cascaded and bool(losses))

    def _rows(self) -> Iterator[Hazard]:
        for one in self.facts.rows if self.seen.with_data else ():
            if one.deleted and one.relation not in self.relations:
                self.relations.add(one.relation)
                message = f"In the rehearsal it deleted {one.deleted:,} rows of {one.relation}."
                yield self._hazard(ROWS_DELETED_SEEN, message, one.relation)
            if one.updated >= _MANY_ROWS and not any(each.rule == "update-without-where" for each in self.told):
                message = f"In the rehearsal it changed {one.updated:,} rows of {one.relation}."
                yield self._hazard(ROWS_UPDATED_SEEN, message, one.relation)

    def _rewrites(self) -> Iterator[Hazard]:
        if any(one.hazard_class is HazardClass.REWRITE for one in self.told):
            return  # with this evidence already
        for one in self.facts.rewrites:
            if one.relation in self.relations:
                continue
            self.relations.add(one.relation)
            if one.kind == "truncated":
                yield self._hazard(DROP_SEEN, f"In the rehearsal it emptied {_listed([one])}.", one.relation)
            elif one.kind != "index" or self.place in self.seen.opaque:
                level = _level_of(one)
                yield self._hazard(REWRITE_SEEN, f"In the rehearsal it rewrote {_listed([one])}.", one.relation, level)

    def _locks(self) -> Iterator[Hazard]:
        for one in self.facts.locks if self.place in self.seen.opaque else ():
            if one.mode in _BLOCKS_WRITERS and one.relation not in self.relations:
                self.relations.add(one.relation)
                size = size_text(one.bytes, one.rows)
                message = f"In the rehearsal it locked {one.relation} ({one.mode}){f': {size} there' if size else ''}."
                is_small = one.bytes is not None and one.bytes < SMALL_BYTES
                yield self._hazard(LOCK_SEEN, message, one.relation, Level.INFO if is_small else None)

    def _hazard(self, rule: Rule, message: str, relation: str = "", level: Level | None = None) -> Hazard:
        version, index = self.place
        return hazard_of(rule, version, Found(message, level=level), self.facts.line, index, relation)


def _level_of(rewrite: Rewrite) -> Level:
    if rewrite.bytes is None or rewrite.bytes >= _LARGE_BYTES:
        return Level.DANGER
    return Level.INFO if rewrite.bytes < SMALL_BYTES else Level.CAUTION


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


# --- words


def size_text(size_bytes: int | None, rows: int | None) -> str:
    """`41 GB, about 1,200,000 rows`; empty where neither is known."""
    parts = [] if size_bytes is None else [_bytes_text(size_bytes)]
    if rows is not None and rows >= 0:
        parts.append(f"about {rows:,} rows")
    return ", ".join(parts)


def _bytes_text(size_bytes: int) -> str:
    amount, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "bytes" else f"{amount:.1f} {unit}"


def _listed(rewrites: Sequence[Rewrite]) -> str:
    """`public.orders: 41 GB, about 1,200,000 rows there`, several joined, the largest first."""
    ranked = sorted(rewrites, key=lambda one: -(one.bytes or 0))
    words = []
    for one in ranked[:_TOLD]:
        size = size_text(one.bytes, one.rows)
        words.append(f"{printable(one.relation)}{f' ({size} there)' if size else ''}")
    return _joined(words, len(rewrites))


def _dropped(drops: Sequence[Dropped]) -> str:
    """`table public.orders (41 GB there), policy own on public.people`, the worst first."""
    ranked = sorted(drops, key=lambda one: (one.kind not in _HOLDS_DATA, -(one.bytes or 0), one.kind, one.name))
    words = []
    for one in ranked[:_TOLD]:
        size = size_text(one.bytes, one.rows)
        kind = one.kind.removeprefix("table ")
        words.append(f"{printable(kind)} {printable(one.name)}{f' ({size} there)' if size else ''}")
    return _joined(words, len(drops))


def _joined(words: Sequence[str], count: int) -> str:
    more = f" and {count - len(words)} more" if count > len(words) else ""
    return ", ".join(words) + more
