"""The hazards of what a statement did on the copy and does not say: by a function, a trigger, SQL that it builds."""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ops.hazards.finding import hazard_of
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.rehearsed_rules import DEPENDENT_DROP_SEEN
from ops.hazards.rehearsed_rules import DROP_SEEN
from ops.hazards.rehearsed_rules import LOCK_SEEN
from ops.hazards.rehearsed_rules import MORE_THAN_LISTED
from ops.hazards.rehearsed_rules import POLICY_DROP_SEEN
from ops.hazards.rehearsed_rules import REWRITE_SEEN
from ops.hazards.rehearsed_rules import ROWS_DELETED_SEEN
from ops.hazards.rehearsed_rules import ROWS_UPDATED_SEEN
from ops.hazards.rehearsed_words import HOLDS_DATA
from ops.hazards.rehearsed_words import dropped
from ops.hazards.rehearsed_words import listed
from ops.hazards.rehearsed_words import locked
from ops.hazards.spoken import Place
from ops.hazards.spoken import Spoken
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts

SMALL_BYTES = 2**20
"""A table of the target below this is done with before anybody notices."""

TAKES_ALONG = {
    *("drop-table", "drop-column", "drop-schema", "drop-extension-cascade", "drop-type-cascade", "drop-owned"),
}
"""Dangers whose message tells what went along."""

_BLOCKS_WRITERS = {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}
_LARGE_BYTES = 2**30
_MANY_ROWS = 10_000
_DROPS = {"drop-table", "drop-column", "drop-materialized-view", "drop-sequence"}
_OF_ROWS = {"delete-without-where", "truncate", "rows-deleted"}
_OF_MANY_ROWS = {"update-without-where", "in-batches"}


@dataclass(frozen=True)
class Unspoken:
    """The hazards of one statement that no rule has told yet. A rule has told a thing where it is of a kind that does
    that, and names the very object."""

    place: Place
    facts: StatementFacts
    told: Sequence[Hazard]
    spoken: Spoken
    with_data: bool
    _gone: set[str] = field(default_factory=set)
    """Relations that are told to be dropped, emptied or written anew, which is more than locked."""

    def hazards(self) -> Iterator[Hazard]:
        """Drops, deleted rows, rewrites, locks; each relation once, for the worst."""
        yield from self._drops()
        yield from self._rows()
        yield from self._rewrites()
        yield from self._locks()
        if self.facts.more:
            message = f"In the rehearsal it did {self.facts.more:,} things more than could be listed and judged."
            yield self._hazard(MORE_THAN_LISTED, message)

    def _drops(self) -> Iterator[Hazard]:
        lost = [one for one in self.facts.drops if one.kind in HOLDS_DATA and not self._is_told_loss(one)]
        self._gone.update(one.name for one in self.facts.drops)
        if lost:
            yield self._hazard(DROP_SEEN, f"In the rehearsal it dropped {dropped(lost)}.", lost[0].name)
        others = [one for one in self.facts.drops if one.kind not in HOLDS_DATA and not self.spoken.names(one)]
        policies = [one for one in others if one.kind == "policy"]
        if policies:
            yield self._hazard(POLICY_DROP_SEEN, f"In the rehearsal it dropped {dropped(policies)}.")
        dependents = [one for one in others if one.kind != "policy"]
        if dependents:
            yield self._hazard(DEPENDENT_DROP_SEEN, f"In the rehearsal it dropped {dropped(dependents)}.")

    def _is_told_loss(self, drop: Dropped) -> bool:
        """A loss is told for this object, or in full for the statement that took it along."""
        rules = {one.rule for one in self.told}
        if drop.cascaded:
            return bool(rules & TAKES_ALONG)
        if "drop-owned" in rules or drop.name in self.spoken.remade:
            return True
        if not self.spoken.names(drop):
            return False
        table = drop.name.rpartition(".")[0] if drop.kind == "table column" else drop.name
        is_schema = drop.kind == "schema" and "drop-schema" in rules
        return is_schema or any(one.relation == table and one.rule in _DROPS for one in self.told)

    def _rows(self) -> Iterator[Hazard]:
        deleted = {one.relation for one in self.told if one.rule in _OF_ROWS} | self._gone
        updated = {one.relation for one in self.told if one.rule in _OF_MANY_ROWS}
        for one in self.facts.rows if self.with_data else ():
            if one.deleted and one.relation not in deleted:
                self._gone.add(one.relation)
                message = f"In the rehearsal it deleted {one.deleted:,} rows of {one.relation}."
                yield self._hazard(ROWS_DELETED_SEEN, message, one.relation)
            if one.updated >= _MANY_ROWS and one.relation not in updated:
                message = f"In the rehearsal it changed {one.updated:,} rows of {one.relation}."
                yield self._hazard(ROWS_UPDATED_SEEN, message, one.relation)

    def _rewrites(self) -> Iterator[Hazard]:
        for one in self.facts.rewrites:
            if one.relation in self._gone or self._is_told_rewrite(one):
                continue
            self._gone.add(one.relation)
            if one.kind == "truncated":
                yield self._hazard(DROP_SEEN, f"In the rehearsal it emptied {listed([one])}.", one.relation)
            elif one.kind != "index" or self.spoken.runs_others:
                level = _level_of(one)
                yield self._hazard(REWRITE_SEEN, f"In the rehearsal it rewrote {listed([one])}.", one.relation, level)

    def _is_told_rewrite(self, rewrite: Rewrite) -> bool:
        if rewrite.kind == "truncated":
            return any(one.relation == rewrite.relation and one.rule == "truncate" for one in self.told)
        if rewrite.kind == "materialized view":
            rules = {one.rule for one in self.told if one.relation == rewrite.relation}
            return bool(rules & {"refresh-blocks-readers", "cluster", "vacuum-full"})
        told = [one.relation for one in self.told if one.hazard_class is HazardClass.REWRITE]
        # Without a function in it, what is written anew beside a table is that table's partitions; the evidence has them.
        return rewrite.relation in told or (bool(told) and not self.spoken.runs_others)

    def _locks(self) -> Iterator[Hazard]:
        classes = (HazardClass.LOCKS, HazardClass.REWRITE)
        told = {one.relation for one in self.told if one.hazard_class in classes} | self._gone | self.spoken.relations
        for one in self.facts.locks if self.spoken.runs_others else ():
            if one.mode in _BLOCKS_WRITERS and one.relation not in told:
                told.add(one.relation)
                is_small = one.bytes is not None and one.bytes < SMALL_BYTES
                message = f"In the rehearsal it locked {locked(one)}."
                yield self._hazard(LOCK_SEEN, message, one.relation, Level.INFO if is_small else None)

    def _hazard(self, rule: Rule, message: str, relation: str = "", level: Level | None = None) -> Hazard:
        version, index = self.place
        return hazard_of(rule, version, Found(message, level=level), self.facts.line, index, relation)


def _level_of(rewrite: Rewrite) -> Level:
    if rewrite.bytes is None or rewrite.bytes >= _LARGE_BYTES:
        return Level.DANGER
    return Level.INFO if rewrite.bytes < SMALL_BYTES else Level.CAUTION
