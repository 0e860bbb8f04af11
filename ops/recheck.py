"""The digest computed again: what of a request's plan is no longer as it was asked for."""

from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.plan import changed_parts
from ops.plan import make_plan
from ops.requests import ADOPT
from ops.requests import Request


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """The parts that differ, in words; empty when the digest is the same.

    Computed at the request's own commit, so that a branch that moves on changes nothing; a branch that no longer
    holds the commit (a forced push took it out) does. Raises OpsError when something cannot be read: then it is unknown.
    """
    if request.kind == ADOPT:
        from ops.adopting import what_changed_since  # here because it loads what few requests need

        return what_changed_since(ops, request, progress)
    target = ops.target_of(request)
    try:
        plan = make_plan(target, ops.repository(target), commit=request.commit, anew=True, progress=progress)
        # A rehearsal is evidence of what would happen, not a state of the world: it is not done again.
        changed = changed_parts(request.plan, {**plan.canonical, "expected": request.plan.get("expected")})
        authors = {ops.settings.known_author(author.email) for author in plan.authors} - {None}
        # Who is known under [people] is not in the digest, but it says who may not approve.
        return changed or (["who wrote the commits, as [people] says"] if authors != set(request.authors) else [])
    except OpsError as error:
        if error.reason is not Reason.COMMIT_NOT_ON_BRANCH:
            raise
        return [f"the branch {target.settings.branch}, which no longer holds the commit"]
