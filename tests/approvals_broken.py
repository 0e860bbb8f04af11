"""Rules of the ops layer, each broken in one way, as somebody could break it: what is put in place of what, by its name.

For tests that have to see it: one that sees nothing here would see nothing at all.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ops.gates import GATES
from ops.gates import Gate
from ops.gates import Verdict
from ops.gates.freeze import freeze_gate
from ops.gates.window import window_gate
from ops.policy import Decision
from ops.rules import Filled
from ops.rules import Rule
from ops.status import TRANSITIONS
from ops.status import Status

YES = Decision(True)
NO_GATES = Verdict((Gate("none", True, "Nothing is in the way."),))


class OneForAll(Filled):
    """Whoever may fill a place fills one of each rule."""

    may_fill: Mapping[str, Collection[str]]

    @property
    def unfilled(self) -> int:
        return sum(self.missing(rule) for rule in self.rules)

    def missing(self, rule: Rule) -> int:
        return max(0, rule.approvals - sum(1 for names in self.may_fill.values() if rule.name in names))


def fill_all(rules: Sequence[Rule], may_fill: Mapping[str, Collection[str]]) -> Filled:
    found = OneForAll(tuple(rules), {})
    vars(found)["may_fill"] = may_fill
    return found


def nothing(*_: Any, **__: Any) -> None:
    return None


def no_words(*_: Any, **__: Any) -> str:
    return ""


def no_parts(*_: Any) -> list[str]:
    return []


def allowed(*_: Any, **__: Any) -> Decision:
    return YES


def yes(*_: Any, **__: Any) -> bool:
    return True


BROKEN: Mapping[str, Mapping[str, object]] = {
    "one person fills places of several rules": {"ops.rules.fill": fill_all},
    "nobody has to be in a group": {"ops.policy.is_named": yes},
    "freezes hold nobody": {"ops.gates.GATES": tuple(one for one in GATES if one is not freeze_gate)},
    "locks hold nobody": {"ops.locking.lock_of": nothing},
    "nothing expires": {"ops.requests.Request.status_at": lambda request, now: request.status},
}
"""What both tests see."""

IN_TIME: Mapping[str, Mapping[str, object]] = {
    **BROKEN,
    "the plan is not looked at again": {"ops.recheck.what_changed": no_parts},
    "any digest is taken for the plan's": {"ops.approving.check_plan": nothing},
    "every yes is carried": {"ops.carrying.why_void": no_words},
    "a no does not end it": {
        "ops.status.TRANSITIONS": {key: to for key, to in TRANSITIONS.items() if key != (Status.WAITING, "rejected")}
    },
    "several run at once": {"ops.occupying.occupant_of": nothing},
}
"""What happens one after the other shows these."""

AT_ONCE: Mapping[str, Mapping[str, object]] = {
    **BROKEN,
    "a handle may mean another group": {"ops.policy._changed_group": nothing},
    "guests count": {"ops.policy.Directory.problem_of": nothing},
    "who asked, or wrote it, counts": {"ops.policy.barred": nothing},
    "windows hold nobody": {"ops.gates.GATES": tuple(one for one in GATES if one is not window_gate)},
    "at a terminal somebody is another one": {"ops.policy.person_of": lambda actor, actor_is: actor.user or actor.id},
    "a terminal gives no code, and need not": {"ops.clearance.can_prove": yes},
    "classes of hazards ask for nobody": {"ops.rules.uncovered_classes": lambda rules, covered: {}},
    "a simulated yes always counts": {"ops.simulating.may_approve": allowed},
    "a simulation sees no gate": {"ops.simulating.judge": lambda facts: NO_GATES},
}
"""What is said in one moment shows these."""
