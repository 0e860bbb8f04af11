"""A secret that is to be set waits for its value: nobody keeps one, so it is entered when nothing else is in the way."""

from ops.errors import Reason
from ops.gates.gate import Facts
from ops.gates.gate import Gate

VALUE = "value"
"""The name of its gate."""


def value_gate(facts: Facts) -> Gate:
    about = facts.request.plan["facts"]
    name = about["secret"]
    if about["how"] != "set":
        return Gate(VALUE, True, "It takes no value.")
    if facts.has_value:
        return Gate(VALUE, True, f"The value of {name} was entered.")
    return Gate(
        VALUE,
        False,
        f"It waits for the value of {name}. Whoever asked, or a requester at the terminal, enters it when nothing else is in "
        "the way.",
        f"`secrets {facts.request.environment} set {name}` takes it: hidden at the terminal, or by a link that Slack gives.",
        Reason.VALUE_NEEDED,
    )
