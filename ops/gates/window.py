"""A run begins in one of the environment's windows; one that began finishes."""

from ops.errors import Reason
from ops.freezing import window_sentence
from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.requests import BESIDE
from ops.windows import is_open
from ops.windows import next_free


def window_gate(facts: Facts) -> Gate:
    """What runs beside another run helps on one that began, and waits for no window."""
    request, windows = facts.request, facts.settings.windows
    if not windows or request.kind in BESIDE:
        return Gate("window", True, f"{request.target} has no windows.")
    if is_open(windows, facts.now):
        return Gate("window", True, f"A window of {request.target} is open.")
    opens_at = next_free(windows, tuple(one.between for one in facts.settings.freezes), facts.now)
    sentence = window_sentence(request.target, windows, opens_at)
    if facts.passes_clock:
        return Gate("window", True, f"{sentence} It passes that.", facts={"passed_windows": list(windows)})
    return Gate(
        "window",
        False,
        sentence,
        "It can be approved meanwhile, and runs when the window opens.",
        Reason.OUTSIDE_WINDOW,
        opens_at=opens_at,
    )
