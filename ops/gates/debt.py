"""Nobody overrides approvals while a review is owed: by them anywhere, or by anybody on the same project."""

from ops.clearance import clearance
from ops.debts import no_emergency
from ops.gates.gate import Facts
from ops.gates.gate import Gate


def debt_gate(facts: Facts) -> Gate:
    if facts.request.override is None:
        return Gate("debt", True, "Nobody overrides its approvals.")
    if facts.debt is None or clearance(facts.request, facts.directory, facts.requester_is).is_met:
        return Gate("debt", True, "No review that is owed is in its way.")
    decision = no_emergency(facts.debt, facts.now)
    return Gate("debt", False, decision.message, decision.hint, decision.reason, facts={"debt": facts.debt.request})
