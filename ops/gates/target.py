"""Nobody else's run may be under way on the target, nor may one be left there of which nobody knows what became of it."""

from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.occupying import in_use


def target_gate(facts: Facts) -> Gate:
    request, occupant = facts.request, facts.occupant
    if not request.occupies:
        return Gate("target", True, "It runs beside whatever runs there.")
    if occupant is None or occupant.request == request.id:
        return Gate("target", True, f"Nothing else runs on {request.target}.")
    reason, sentence, hint = in_use(occupant, request.target)
    return Gate("target", False, sentence, hint, reason)
