"""Which rules a plan's approvals must meet, and who of those who said yes fills which place. Pure functions of values.

A rule asks for so many people of certain groups. No two places are filled by one person, whatever rules they are in.
"""

from collections import deque
from collections.abc import Collection
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

OWN = "approvers"
"""The name of the rule that an environment's own `approvals` and `approvers` are."""


@dataclass(frozen=True)
class Rule:
    """So many people of these must say yes; `approvers` are handles, Slack ids and terminal users, as written."""

    name: str
    approvals: int
    approvers: tuple[str, ...]


@dataclass(frozen=True)
class Filled:
    """Who fills a place of which rule: person → the rule's name. Whoever is not in it fills none, though they said yes."""

    rules: tuple[Rule, ...]
    who: Mapping[str, str]

    def people(self, rule: Rule) -> tuple[str, ...]:
        """Those who fill this rule's places, in the order in which they said yes."""
        return tuple(person for person, name in self.who.items() if name == rule.name)

    def missing(self, rule: Rule) -> int:
        """How many of its places are still free."""
        return rule.approvals - len(self.people(rule))

    @property
    def unfilled(self) -> int:
        """How many places are free, over all rules: so many more people must say yes at least."""
        return sum(rule.approvals for rule in self.rules) - len(self.who)

    @property
    def is_full(self) -> bool:
        """Whether every place of every rule has a person of its own. Without a rule nothing is full."""
        return bool(self.rules) and not self.unfilled

    def to_json(self) -> dict[str, list[str]]:
        """As events hold it: the people of each rule."""
        return {rule.name: list(self.people(rule)) for rule in self.rules}


def rules_of(
    policy: Mapping[str, Any], hazards: Iterable[Mapping[str, Any]], unknown_authors: Sequence[str]
) -> tuple[Rule, ...]:
    """The rules that a plan must meet: the environment's own, where it asks for anybody, then those of `rules` that are
    not skipped because the plan has no hazard of the classes that they are for.

    The own rule takes more where a class of hazards does. Unknown authors take one more where the policy says so: of the
    own approvers, or of the first rule where there are none.
    """
    found = tuple(hazards)
    classes = class_rules(policy, found)
    own = Rule(OWN, approvals_of(policy.get("approvals", 0), classes), own_approvers(policy, classes))
    present = accepted_classes(found)
    rules = [
        Rule(one["name"], int(one["approvals"]), tuple(one["approvers"]))
        for one in policy.get("rules", ())
        if not one["for"] or any(name in present for name in one["for"])
    ]
    if policy.get("unknown_authors") == "extra" and unknown_authors:
        if rules and not own.approvers:
            rules[0] = _one_more(rules[0])
        else:
            own = _one_more(own)
    return (own, *rules) if own.approvals else tuple(rules)


def _one_more(rule: Rule) -> Rule:
    return Rule(rule.name, rule.approvals + 1, rule.approvers)


def has_more_rules(rules: Sequence[Rule]) -> bool:
    """Whether there is a rule beside the environment's own."""
    return any(rule.name != OWN for rule in rules)


def says_nothing(policy: Mapping[str, Any], rules: Sequence[Rule]) -> bool:
    """Whether a policy has no answer for a plan: it is missing or empty, or every one of its rules was skipped.

    `approvals = 0` without rules is an answer: nobody is asked.
    """
    return "approvals" not in policy or bool(policy.get("rules") and not rules)


def nothing_said_message(target: str, policy: Mapping[str, Any]) -> str:
    """Why a plan is refused for which no rule has an answer (see `says_nothing`)."""
    if not policy.get("rules"):
        return f"No policy says who must agree before anything runs on {target}."
    names = ", ".join(one["name"] for one in policy["rules"])
    return f"Every rule of {target} was skipped for this plan ({names}), so nobody would be asked about it."


NOTHING_SAID_HINT = "Say approvals = 1 or more for the environment, or give it a rule without `for`."


def fill(rules: Sequence[Rule], may_fill: Mapping[str, Collection[str]]) -> Filled:
    """As many places filled by distinct people as can be at all. `may_fill`: person → the names of the rules that they
    may fill, in the order in which they said yes.

    Who came earlier keeps a place whenever they had one, and the same one unless it is needed for somebody who can fill
    no other; of several, people take the first rule. The same values always give the same answer.
    """
    places = {rule.name: rule.approvals for rule in rules}
    who: dict[str, str] = {}
    for person in may_fill:
        for moved, name in _moves(person, rules, may_fill, places, who).items():
            who[moved] = name
    return Filled(tuple(rules), {person: who[person] for person in may_fill if person in who})


def _moves(
    person: str,
    rules: Sequence[Rule],
    may_fill: Mapping[str, Collection[str]],
    places: Mapping[str, int],
    who: Mapping[str, str],
) -> dict[str, str]:
    """The fewest moves that seat one more person (a shortest augmenting path), they included; none where they cannot be."""
    came_from: dict[str, tuple[str, str]] = {}  # rule → the person who would move into it, the rule they would leave
    waiting = deque([(person, "")])
    while waiting:
        mover, left = waiting.popleft()
        for rule in rules:
            if rule.name in came_from or rule.name not in may_fill[mover]:
                continue
            came_from[rule.name] = (mover, left)
            sitting = [one for one, name in who.items() if name == rule.name]
            if len(sitting) < places[rule.name]:
                return _path(rule.name, came_from)
            waiting.extend((one, rule.name) for one in reversed(sitting))  # the last who came moves first
    return {}


def _path(last: str, came_from: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    moves: dict[str, str] = {}
    name = last
    while name:
        mover, left = came_from[name]
        moves[mover] = name
        name = left
    return moves


def class_rules(policy: Mapping[str, Any], hazards: Iterable[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """What a policy asks for because of these hazards (as JSON), by class; what it refuses is left out."""
    rules = policy.get("hazards", {})
    return {name: rules[name] for name in accepted_classes(hazards) if name in rules and rules[name] != "refused"}


def uncovered_classes(rules: Mapping[str, Mapping[str, Any]], covered: Container[str]) -> Mapping[str, Sequence[str]]:
    """The classes to which certain people must agree and none of them did, with those people. See `class_rules`."""
    return {name: rule["approvers"] for name, rule in rules.items() if rule["approvers"] and name not in covered}


def approvals_of(approvals: int, rules: Mapping[str, Mapping[str, Any]]) -> int:
    """How many people must say yes: as many as the environment or a class asks for. See `class_rules`."""
    asked = [1 if rule["approvers"] and not rule["approvals"] else int(rule["approvals"]) for rule in rules.values()]
    return max(approvals, *asked, 0)


def own_approvers(policy: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The environment's approvers, then those that a class of hazards brings in. See `class_rules`."""
    named = [*policy.get("approvers", ()), *(who for rule in rules.values() for who in rule["approvers"])]
    return tuple(dict.fromkeys(named))


def accepted_classes(hazards: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The classes of these hazards (as JSON) at the level caution or worse, sorted."""
    return tuple(sorted({str(one["class"]) for one in hazards if one["level"] != "info"}))


def more_yeses(count: int) -> str:
    """How many people more must say yes, in words."""
    return f"{count} more {'yes' if count == 1 else 'yeses'}"
