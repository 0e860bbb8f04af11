"""The target must not be locked by somebody."""

from ops.errors import Reason
from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.locking import lock_sentence
from ops.locking import unlock_hint


def lock_gate(facts: Facts) -> Gate:
    target = facts.request.target
    if facts.lock is None:
        return Gate("lock", True, f"Nobody has locked {target}.")
    return Gate(
        "lock",
        False,
        lock_sentence(facts.lock, target),
        unlock_hint(facts.lock, facts.request.environment),
        Reason.TARGET_LOCKED,
        opens_at=facts.lock.until,
        facts={"held_by": [facts.lock.by.id]},
    )
