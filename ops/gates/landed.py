"""Nothing may have run on the target since the request was planned: it is planned again first, which takes a moment."""

from ops.errors import Reason
from ops.gates.gate import Facts
from ops.gates.gate import Gate

LANDED = "landed"
"""The name of its gate: where it is closed, the request is planned again."""


def landed_gate(facts: Facts) -> Gate:
    target = facts.request.target
    if not facts.landed:
        return Gate(LANDED, True, f"It was planned for {target} as it is.")
    return Gate(
        LANDED,
        False,
        landed_sentence(facts.request.id, target, facts.landed),
        LANDED_NEXT,
        Reason.PLAN_CHANGED,
        facts={"landed": list(facts.landed)},
    )


LANDED_NEXT = (
    "Nothing is to be done: the new plan gets a card of its own, and what people agreed to counts on where it can."
)


def landed_sentence(number: str, target: str, landed: tuple[str, ...]) -> str:
    """That a request is to be planned again, and why."""
    return f"{', '.join(landed)} ran on {target} since {number} was planned, so it is planned again."
