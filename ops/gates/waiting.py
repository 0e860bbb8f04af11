"""The request must still wait: not over, not running, not expired."""

from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.policy import may_decide_now


def waiting_gate(facts: Facts) -> Gate:
    decision = may_decide_now(facts.request, facts.now)
    if decision.allowed:
        return Gate("waiting", True, f"It waits until {facts.request.expires_at:%Y-%m-%d %H:%M} UTC.")
    return Gate("waiting", False, decision.message, decision.hint, decision.reason)
