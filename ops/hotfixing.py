"""The pass of a hotfix: named people may ask for a run that does not wait for windows and configured freezes. Pure functions.

That it is one is part of the plan, so of the digest: whoever says yes to it says yes to running outside the window.
"""

from collections.abc import Mapping
from typing import Any

from ops.environment import Environment
from ops.errors import Reason
from ops.layer import Ops
from ops.masking import mask_intake
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import is_named
from ops.policy import refused
from ops.requests import Request
from ops.targets import Target


def hotfix_of(request: Request) -> Mapping[str, Any] | None:
    """Who asked for it as a hotfix and why (`by`, `because`), and what the groups that may were then (`groups`, their ids by
    handle); None where it is none."""
    found: Mapping[str, Any] | None = request.plan.get("hotfix")
    return found


def passes_people(request: Request, settings: Environment) -> bool:
    """Whether what somebody froze does not hold it either: only a hotfix, and only where the policy says so."""
    return hotfix_of(request) is not None and settings.hotfix_passes == "all"


def hotfix_asked(request: Request) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """The people and groups whom Slack is to be asked about to judge a hotfix, and the user who asked for it."""
    if hotfix_of(request) is None:
        return (), ()
    return tuple((request.plan.get("policy") or {}).get("hotfix", ())), (request.by.user,)


def hotfix_for(ops: Ops, target: Target, actor: Actor, because: str) -> dict[str, Any]:
    """What a plan says of a hotfix that this actor asks for with this reason; empty where they ask for none.

    Raises OpsError: NOT_ALLOWED for whoever is not named, IDENTITY_UNPROVEN where Slack's answer is uncertain.
    """
    if not because.strip():
        return {}
    entries = target.settings.hotfix
    directory = ops.directory(entries if actor.user else (), users=(actor.user,), members=False)
    may_hotfix(target.settings, actor, directory, target.name).or_raise()
    groups = {handle: one.id for handle, one in directory.groups.items()}
    return {"by": actor.id, "because": mask_intake(because.strip()), "groups": groups}


def may_hotfix(settings: Environment, actor: Actor, directory: Directory, target: str) -> Decision:
    """Whether this actor is one of the people whom the environment names for it."""
    if not settings.hotfix:
        return refused(
            Reason.NOT_ALLOWED,
            f"Nobody may pass the windows of {target}: it names nobody under `hotfix`.",
            "Ask without --hotfix; it can be approved now, and runs when the window opens.",
        )
    problem = directory.problem_of(actor.user) if actor.user else None
    if problem is not None or not is_named(settings.hotfix, actor, directory.groups):
        return refused(
            Reason.NOT_ALLOWED,
            f"You may not ask for a hotfix on {target}{f': {problem}' if problem else ''}.",
            f"These may: {names_of(settings.hotfix)}.",
        )
    return Decision(True, facts={"hotfix": list(settings.hotfix)})


def may_still_hotfix(request: Request, settings: Environment, directory: Directory) -> Decision:
    """Whether who asked for this hotfix is still named, by what Slack says now. A group that is another one than it was then
    names nobody, whatever its handle."""
    pinned: Mapping[str, str] = (hotfix_of(request) or {}).get("groups", {})
    groups = {handle: one for handle, one in directory.groups.items() if pinned.get(handle) == one.id}
    decision = may_hotfix(settings, request.by, Directory(directory.people, groups), request.target)
    changed = [handle for handle in pinned if handle not in groups]
    if decision.allowed or not changed:
        return decision
    message = f"{', '.join(changed)} is not the group that it was when {request.id} was made."
    return refused(Reason.GROUP_CHANGED, message, decision.hint)
