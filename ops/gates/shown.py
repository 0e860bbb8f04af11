"""What is to run must stand where people can read it before it runs, whoever agreed to it or to an earlier plan."""

from ops.errors import Reason
from ops.gates.gate import Facts
from ops.gates.gate import Gate


def shown_gate(facts: Facts) -> Gate:
    request = facts.request
    if not request.needed:
        return Gate("shown", True, "Nobody is asked, so nobody has to have read it first.")
    if request.shown is not None and request.shown["digest"] == request.digest:
        return Gate("shown", True, "All of it is in the thread of its card.")
    return Gate(
        "shown",
        False,
        f"{request.id} has not reached the thread of its card yet, so nobody can have read what would run.",
        "Nothing is to be done: the bot puts it there as soon as Slack takes it.",
        Reason.NOT_SHOWN_YET,
    )
