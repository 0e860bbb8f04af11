"""Who asked for a hotfix must still be one of those who may; asked live, as everything is."""

from ops.errors import Reason
from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.hotfixing import hotfix_of
from ops.hotfixing import may_still_hotfix
from ops.people import names_of


def hotfix_gate(facts: Facts) -> Gate:
    hotfix = hotfix_of(facts.request)
    if hotfix is None:
        return Gate("hotfix", True, "It is no hotfix, so it passes nothing.")
    decision = may_still_hotfix(facts.request, facts.settings, facts.directory)
    sentence = f"{hotfix['by']} asked for a hotfix: {hotfix['because']}."
    if decision.allowed:
        return Gate("hotfix", True, sentence, facts={"hotfix": dict(hotfix)})
    because = f"{hotfix['by']} is no longer one of those who may: {names_of(facts.settings.hotfix) or 'nobody'}."
    if decision.reason is Reason.GROUP_CHANGED:
        because = decision.message
    return Gate(
        "hotfix",
        False,
        f"{sentence} {because}",
        f"Cancel it, and ask again: `cancel {facts.request.id}`.",
        decision.reason,
    )
