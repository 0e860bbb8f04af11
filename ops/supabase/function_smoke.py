"""Calling a function once after it was deployed: whether it starts at all."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.supabase.address import project_url
from ops.targets import Target

TRIES = 3
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Smoke:
    """Whether the function is alive, and what it answered in a few words. Nothing of its body."""

    is_well: bool
    words: str


def judge(status: int, *, verify_jwt: bool) -> Smoke:
    """What an answer says. A function that wants a token is alive when it refuses us; one that may answer anything is alive
    unless it says that it broke, or is not there."""
    refuses = status in {401, 403}
    if refuses:
        return Smoke(True, f"answers {status}" + (", as it asks for a token" if verify_jwt else ""))
    return Smoke(status < 500 and status != 404, f"answers {status}")


def smoke(target: Target, slug: str, verify_jwt: bool, *, pause: Callable[[float], None] = time.sleep) -> Smoke:
    """Ask up to three times, for the first answer after a start may come too early. OPTIONS, or GET where the environment
    says so; nothing is sent along."""
    how = target.settings.smoke
    if how == "off":
        return Smoke(True, "not called")
    import httpx  # slow to load, and only deployments need it

    found = Smoke(False, "does not answer")
    for left in reversed(range(TRIES)):
        try:
            agent = {"User-Agent": "Countersign"}
            with httpx.Client(timeout=TIMEOUT_SECONDS, headers=agent, trust_env=False) as client:
                url = f"{project_url(target)}/functions/v1/{slug}"
                with client.stream(how.upper(), url) as answer:
                    found = judge(answer.status_code, verify_jwt=verify_jwt)
        except httpx.HTTPError as error:
            found = Smoke(False, f"does not answer ({type(error).__name__})")
        if found.is_well or not left:
            break
        pause(PAUSE_SECONDS)
    return found
