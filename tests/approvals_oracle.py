"""Who must agree before a run begins, said once more and as plainly as can be: by trying every way in which people could sit.

Written from the words of the design, for tests that compare it with what the ops layer says. Nothing of `ops` is used here.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

MATTERS = ("caution", "danger", "forbidden")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Wanted:
    """What the rules of an environment (its table of the configuration) ask of a plan: one entry of `places` for each
    person, which names who may be that person; and, class by class, of whom one must be among them."""

    places: tuple[tuple[str, ...], ...]
    classes: Mapping[str, tuple[str, ...]]
    says_nothing: bool
    needs_code: bool

    @property
    def everybody(self) -> tuple[str, ...]:
        """All people and groups that the rules name."""
        return tuple({entry for place in self.places for entry in place})


def wanted_of(
    table: Mapping[str, Any], hazards: Collection[tuple[str, str]], unknown_authors: Collection[str]
) -> Wanted:
    """What this table asks for because of these hazards (class and level) and authors."""
    present = {name for name, level in hazards if level in MATTERS}
    asked = {name: rule for name, rule in table.get("hazards", {}).items() if name in present}
    own, may = int(table["approvals"]), list(table.get("approvers", ()))
    for rule in asked.values():
        may += rule.get("approvers", ())
        own = max(own, rule.get("approvals", 0), 1 if rule.get("approvers") else 0)
    places: list[tuple[str, ...]] = []
    for rule in table.get("rules", ()):
        if not rule.get("for") or present & set(rule["for"]):
            places += [tuple(rule["approvers"])] * rule.get("approvals", 1)
    if unknown_authors and table.get("unknown_authors") == "extra":
        if may or not places:
            own += 1
        else:
            places.append(places[0])
    places += [tuple(may)] * own
    return Wanted(
        places=tuple(places),
        classes={name: tuple(rule["approvers"]) for name, rule in asked.items() if rule.get("approvers")},
        says_nothing=bool(table.get("rules")) and not places,
        needs_code=bool(table.get("second_factor") or any(rule.get("second_factor") for rule in asked.values())),
    )


@dataclass(frozen=True)
class Who:
    """Everybody at one moment: who may decide nothing at all, what each group is, and who sits at which terminal."""

    problems: Mapping[str, str]
    groups: Mapping[str, tuple[str, frozenset[str]]]
    at_terminal: Mapping[str, str] = field(default_factory=dict)

    def person(self, name: str) -> str:
        """Who it is, by one name: somebody at a terminal whom the configuration knows is who they are in Slack."""
        return self.at_terminal.get(name, name)

    def is_named(self, name: str, entries: Collection[str]) -> bool:
        return name in entries or any(name in self.groups[one][1] for one in entries if one.startswith("@"))

    def ids(self, entries: Collection[str]) -> dict[str, str]:
        return {one: self.groups[one][0] for one in entries if one.startswith("@")}


def counts(name: str, wanted: Wanted, who: Who, pinned: Mapping[str, str], barred: Collection[str]) -> bool:
    """Whether the yes of this one is worth anything: present, no part in the change itself, named by a rule, and that by a
    group only while its handle (of all that the rules name) means the group that it meant."""
    if who.person(name) in barred or name in barred or not who.is_named(name, wanted.everybody):
        return False
    if name.startswith("os:"):
        return not wanted.needs_code  # a terminal has no form for a code
    return name not in who.problems and who.ids(pinned) == dict(pinned)


def filled(wanted: Wanted, yes: Sequence[str], who: Who) -> int:
    """The most places that can be filled by these, each person in one place: every way of sitting down is tried."""
    people = {who.person(name): name for name in reversed(yes)}
    sits = {one: {place for place in wanted.places if who.is_named(name, place)} for one, name in people.items()}
    tried: dict[tuple[int, frozenset[str]], int] = {}

    def best(first: int, standing: frozenset[str]) -> int:
        """How many of the places from the first on can be filled by those who stand."""
        if first == len(wanted.places):
            return 0
        if (first, standing) not in tried:
            left_free = best(first + 1, standing)
            may = [one for one in standing if wanted.places[first] in sits[one]]
            taken = [1 + best(first + 1, standing - {one}) for one in may]
            tried[first, standing] = max((left_free, *taken))
        return tried[first, standing]

    return best(0, frozenset(people))


def uncovered(wanted: Wanted, yes: Collection[str], who: Who) -> set[str]:
    """The classes of hazards to which nobody of those whom they ask for has said yes."""
    return {name for name, may in wanted.classes.items() if not any(who.is_named(one, may) for one in yes)}


def is_enough(wanted: Wanted, yes: Sequence[str], who: Who) -> bool:
    """Whether these, who all count, are a sufficient set."""
    all_sit = filled(wanted, yes, who) == len(wanted.places)
    return not wanted.says_nothing and all_sit and not uncovered(wanted, yes, who)


def is_in_window(table: Mapping[str, Any], at: datetime) -> bool:
    """For windows within one day, such as `Mon-Thu 09:00-16:00 Europe/London`."""
    return not table.get("windows") or any(_is_in(text, at) for text in table["windows"])


def _is_in(text: str, at: datetime) -> bool:
    days, times, zone = text.split()
    there = at.astimezone(ZoneInfo(zone))
    first, last = (DAYS.index(day) for day in days.split("-"))
    since, to = times.split("-")
    return first <= there.weekday() <= last and since <= f"{there:%H:%M}" < to


def is_in_freeze(table: Mapping[str, Any], at: datetime) -> bool:
    """For freezes that are said in UTC."""
    now = f"{at:%Y-%m-%d %H:%M} UTC"
    return any(one["from"] <= now < one["to"] for one in table.get("freezes", ()))
