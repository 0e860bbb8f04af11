"""A push: the pending files of a branch. What may have changed since it was asked for is the whole plan."""

from ops.errors import OpsError
from ops.errors import Reason
from ops.half_done import half_done
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.plan import make_plan
from ops.plan import pending_of
from ops.plan import sql_document
from ops.plan_parts import changed_parts
from ops.proposing import with_functions_text
from ops.requests import Request


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """The parts that differ, in words; empty when the digest is the same.

    Computed at the request's own commit, so that a branch that moves on changes nothing; a branch that no longer
    holds the commit (a forced push took it out) does. Raises OpsError when something cannot be read: then it is unknown.
    """
    target = ops.target_of(request)
    try:
        plan = make_plan(target, ops.repository(target), commit=request.commit, anew=True, progress=progress)
        if half_done(ops.view, target, plan.pending):
            return [
                "the target, where another run left a file half-way that this one would run from its first statement"
            ]
        # A rehearsal is evidence of what would happen, not a state of the world: it is not done again.
        changed = changed_parts(request.plan, {**plan.canonical, "expected": request.plan.get("expected")})
        authors = {ops.settings.known_author(author.email) for author in plan.authors} - {None}
        # Who is known under [people] is not in the digest, but it says who may not approve.
        return changed or (["who wrote the commits, as [people] says"] if authors != set(request.authors) else [])
    except OpsError as error:
        if error.reason is not Reason.COMMIT_NOT_ON_BRANCH:
            raise
        return [f"the branch {target.settings.branch}, which no longer holds the commit"]


def document(ops: Ops, request: Request) -> str:
    """The full SQL, and what changes of functions."""
    pending = pending_of(ops.repository(ops.target_of(request)), request.commit, request.files)
    return with_functions_text(ops, request, sql_document(request.target, request.commit, request.digest, pending))


KIND = Kind(what_changed=what_changed, document=document)
