"""What people read of an adoption: what would count as known from now on, and what nobody can say."""

from typing import Any

from commands.page import Line
from commands.page import Listing
from commands.page import Part
from commands.page_words import migrations
from commands.page_words import plural
from ops.approving import PREFIX_LENGTH
from ops.requests import ADOPT
from ops.requests import Request

UNKNOWN_SHOWN = 8


def is_adoption(request: Request) -> bool:
    return request.kind == ADOPT


def adoption_parts(request: Request, most: int | None = UNKNOWN_SHOWN) -> list[Part]:
    """What nobody can say about the target; `most` None: all of it."""
    unknown = [str(one) for one in _adopts(request)["unknown"]]
    lines: list[Line] = [(one,) for one in unknown[:most]]
    if most is not None and len(unknown) > most:
        lines.append((f"and {len(unknown) - most} more; the thread's file has all",))
    return [Listing("What nobody can say", lines)] if lines else []


def adoption_facts(request: Request) -> list[tuple[str, Line]]:
    adopts = _adopts(request)
    facts: list[tuple[str, Line]] = [
        ("Applied there", (migrations(len(adopts["rows"])),)),
        ("Known byte for byte", (migrations(len(adopts["versions"])),)),
    ]
    if adopts["differences"]:
        facts.append(("Not what they make", (plural(len(adopts["differences"]), "object"),)))
    return facts


def adoption_question(request: Request) -> str:
    """What is asked before a yes counts."""
    unknown = plural(len(_adopts(request)["unknown"]), "sentence")
    return (
        f"Make what {request.target} has now the baseline? Nothing is changed there. Plan {request.digest[:PREFIX_LENGTH]}. "
        f"{unknown} on the card and in its file say what nobody knows."
    )


def _adopts(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = request.plan["adopts"]
    return found
