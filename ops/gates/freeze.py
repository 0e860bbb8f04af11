"""Nobody may have frozen the target or everything, nor may the configuration at this moment."""

from ops.errors import Reason
from ops.freezing import freeze_sentence
from ops.freezing import period_sentence
from ops.freezing import unfreeze_hint
from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.hotfixing import passes_people
from ops.requests import BESIDE
from ops.windows import frozen_by
from ops.windows import next_free


def freeze_gate(facts: Facts) -> Gate:
    """Closed by people until they open it, or by the configuration until its time is over."""
    request, settings = facts.request, facts.settings
    if facts.freezes and not passes_people(request, settings):
        sentences = " ".join(freeze_sentence(one) for one in facts.freezes)
        ends = [one.until for one in facts.freezes if one.until is not None]
        opens_at = max(ends) if len(ends) == len(facts.freezes) else None
        held_by = {"held_by": [one.by.id for one in facts.freezes]}
        hint = unfreeze_hint(facts.freezes)
        return Gate("freeze", False, sentences, hint, Reason.TARGET_FROZEN, opens_at, facts=held_by)
    periods = tuple(one.between for one in settings.freezes)
    period = frozen_by(periods, facts.now)
    if period is None or request.kind in BESIDE:
        return Gate("freeze", True, f"Nothing freezes {request.target}.")
    sentence = period_sentence(request.target, period)
    if facts.passes_clock:
        return Gate("freeze", True, f"{sentence} It passes that.", facts={"passed_freeze": period.because})
    return Gate(
        "freeze",
        False,
        sentence,
        "It can be approved meanwhile, and runs when that is over.",
        Reason.TARGET_FROZEN,
        opens_at=next_free(settings.windows, periods, facts.now),
    )
