"""`who prod`: who may ask and approve on a target, rule by rule, who is in each group now, and who cannot and why.

Slack is asked about everybody at this moment, as it is before a run. It also tells who holds the target's lock or froze it,
and for each request that waits there who may not decide on it, who said yes and who is looking at it. At a terminal nobody
can be asked, so groups stand there by name.

Examples:
    who prod        everybody who matters for prod

See also: status, claim, lock, freeze
"""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Span
from commands.page import Who
from commands.page_words import joined
from commands.page_words import person
from commands.page_words import plural
from commands.reply import Reply
from commands.request_parts import lock_line
from commands.when_parts import when_lines
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.claiming import claims_of
from ops.enrolled import enrolled_people
from ops.environment import Environment
from ops.freezing import freezers
from ops.freezing import freezes_of
from ops.layer import Ops
from ops.locking import lock_of
from ops.policy import Directory
from ops.requests import Request
from ops.requests import open_requests
from ops.status import Status
from ops.targets import find_target

USAGE = "who ENVIRONMENT"
SUMMARY = "who may ask and approve on a target, and who cannot and why"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

PEOPLE_SHOWN = 30
"""So many people of a group are named."""


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    roles = list(_roles(target.settings, freezers(target)))
    entries = tuple(dict.fromkeys(entry for _, named in roles for entry in named))
    directory = ops.directory(entries if ops.people.are_known else (), members=True)
    lock = lock_of(ops.view, target.project, target.environment, ops.now())
    when = when_lines(target.settings, freezes_of(ops.view, target.name, ops.now()), ops.now())
    held: list[tuple[str, Line]] = [*([("Locked", lock_line(lock))] if lock else []), *when]
    waiting = [
        one
        for one in open_requests(ops.view)
        if one.target == target.name and one.status_at(ops.now()) is Status.WAITING
    ]
    body = [Listing("", [_role(name, named, directory) for name, named in roles])]
    cannot = [(Who(user), f": told that “{problem}”") for user, problem in _problems(directory)]
    body += [Listing("Cannot decide anything now", cannot)] if cannot else []
    without = _without_factor(ops, target.settings, directory)
    body += (
        [Listing("Have no second factor, which a yes here takes", [(Who(one),) for one in without])] if without else []
    )
    body += [Listing("Waiting", [_on_request(ops, one) for one in waiting])] if waiting else []
    small: Line = () if ops.people.are_known else ("this process has no Slack, so it cannot say who is in a group",)
    page = Page(
        f"Who may do what on {target.name}", [(name.capitalize(), line) for name, line in held], body, small=small
    )
    return Reply(page, _json(target.name, roles, directory, waiting) | {"no_second_factor": without})


def _roles(settings: Environment, freeze: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """What one may do, and whom the configuration names for it; nobody named means everybody, or nobody, as is said."""
    yield "May ask" if settings.requesters else "May ask: every full member", settings.requesters
    if settings.approvals:
        yield f"Approve, {settings.approvals} of", settings.approvers
    for rule in settings.rules:
        about = f" for {', '.join(rule.classes)}" if rule.classes else ""
        yield f"Approve as {rule.name}{about}, {rule.approvals} of", rule.approvers
    for name, hazard in sorted(settings.hazards.items()):
        if hazard.approvers:
            yield f"Agree to {name}, one of", hazard.approvers
    if settings.hotfix:
        yield "Pass windows with a hotfix", settings.hotfix
    yield "Override, or take a lock away" if settings.overriders else "Override: nobody", settings.overriders
    yield "Freeze and unfreeze" if freeze else "Freeze and unfreeze: every full member", freeze


def _role(name: str, named: Sequence[str], directory: Directory) -> Line:
    return (f"{name}: ", *_named(named, directory)) if named else (name,)


def _without_factor(ops: Ops, settings: Environment, directory: Directory) -> list[str]:
    """Those who are named to approve where that takes a one-time code, and can give none; as far as Slack was asked."""
    if not settings.takes_codes:
        return []
    of_classes = (one.approvers for one in settings.hazards.values())
    rules = (settings.approvers, *(one.approvers for one in settings.rules), *of_classes)
    entries = {one for named in rules for one in named}
    groups = [directory.groups[entry].members for entry in entries if entry in directory.groups]
    people = (entries | {one for members in groups for one in members}) & directory.people.keys()
    return sorted(people - enrolled_people(ops.view))


def _named(entries: Sequence[str], directory: Directory) -> Line:
    """The entries as written, each group with who is in it now."""
    line: list[Span] = []
    for entry in entries:
        line += [", "] if line else []
        line.append(person(entry))
        group = directory.groups.get(entry)
        if group is not None:
            members = sorted(group.members)
            more = f" and {len(members) - PEOPLE_SHOWN} more" if len(members) > PEOPLE_SHOWN else ""
            line += [" (", *(joined(map(Who, members[:PEOPLE_SHOWN])) or ("nobody",)), more, ")"]
    return tuple(line)


def _problems(directory: Directory) -> Iterator[tuple[str, str]]:
    return ((user, one.problem) for user, one in sorted(directory.people.items()) if one.problem is not None)


def _on_request(ops: Ops, request: Request) -> Line:
    """Who asked, who wrote it, who said yes, who looks at it."""
    line: list[Span] = [Code(request.id), " asked by ", Who(request.by.id), ", who cannot decide on it"]
    if request.authors:
        line += ["; nor can ", *joined(map(Who, request.authors)), ", who wrote it"]
    overridden = ", overridden" * (request.override is not None)
    line.append(f"; {request.given} of {plural(request.given + request.missing, 'approval')}{overridden}")
    yes = joined(Who(one.by.id) for one in request.approvals if one.stands)
    line += [": ", *yes] if yes else []
    looking = joined(Who(one.by.id) for one in claims_of(ops.view, request, ops.now()))
    line += ["; looked at by ", *looking] if looking else []
    return tuple(line)


def _json(
    target: str, roles: Sequence[tuple[str, Sequence[str]]], directory: Directory, waiting: Sequence[Request]
) -> dict[str, Any]:
    return {
        "target": target,
        "roles": [{"may": name, "named": list(named)} for name, named in roles],
        "groups": {handle: sorted(group.members) for handle, group in directory.groups.items()},
        "cannot": dict(_problems(directory)),
        "waiting": [{"request": one.id, "by": one.by.id, "authors": list(one.authors)} for one in waiting],
    }
