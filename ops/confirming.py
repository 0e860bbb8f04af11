"""What a yes takes beside pressing a button, where the policy says so: the environment's name, typed, and a one-time code."""

from dataclasses import dataclass
from dataclasses import field

from ops.errors import Reason
from ops.policy import Decision
from ops.policy import refused
from ops.requests import Request


@dataclass(frozen=True)
class Proofs:
    """What somebody gave with their yes. None: they were not asked, or gave nothing."""

    environment: str | None = None
    code: str | None = field(default=None, repr=False)
    """A one-time code: it opens a door for a minute, so it is in no log and no error."""


def asks_environment(request: Request) -> bool:
    """Whether a yes to this request takes the environment's name, typed: `confirm = "type"` in the policy of its plan."""
    return bool(request.plan["policy"].get("confirm") == "type")


def asks_more(request: Request) -> bool:
    """Whether a yes to this request takes more than pressing a button."""
    return asks_environment(request) or request.needs_code


def confirmed(request: Request, proofs: Proofs) -> Decision:
    """Whether what came with a yes is all that the policy of this plan asks for. Letter case does not matter: telephones
    begin a field with a capital."""
    if not asks_environment(request):
        return Decision(True)
    typed = (proofs.environment or "").strip().casefold()
    if typed in {request.environment.casefold(), request.target.casefold()}:
        return Decision(True, facts={"typed": request.environment})
    return refused(
        Reason.NOT_CONFIRMED,
        f"A yes to {request.id} takes the name of its environment, typed: {request.environment}."
        + (" What was typed is another one." if typed else ""),
        f"Press Approve and type the name there, or type `approve {request.id} <digest> {request.environment}`.",
    )
