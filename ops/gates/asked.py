"""Whom Slack is asked about before a request is judged: those whose yes may count, and the groups by which it does."""

from ops.hotfixing import hotfix_asked
from ops.hotfixing import hotfix_of
from ops.layer import Ops
from ops.policy import Directory
from ops.requests import Request


def needs_people(request: Request) -> bool:
    """Whether anything about this request hangs on people, so that Slack has to be asked before it may run."""
    return bool(request.needed or hotfix_of(request))


def live_directory(ops: Ops, request: Request, *, also: tuple[str, ...] = (), with_members: bool = False) -> Directory:
    """What Slack says now about those who said yes, overrode that or asked for a hotfix, about `also` (Slack ids) and about
    the groups; `with_members`: about everybody who may say yes, too. Raises OpsError(IDENTITY_UNPROVEN)."""
    override = (request.override.by.user,) if request.override else ()
    entries, asker = hotfix_asked(request)
    users = (*(one.by.user for one in request.approvals), *override, *asker, *also)
    return ops.directory((*request.deciders, *request.overriders, *entries), users=users, members=with_members)
