"""Who has a second factor, and where too few have one: what takes a one-time code waits there in vain."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from audit import Query
from audit import View
from ops.environment import Environment
from ops.requests import Request
from ops.rules import fill
from ops.status import Status


def enrolled_people(view: View) -> frozenset[str]:
    """The Slack ids of those who have a second factor, as far as the log tells; one that was erased counts for nothing."""
    newest = {event.stream: event.data for event in view.find(Query(kinds=("enrolled",)))}
    return frozenset(str(data["user"]) for data in newest.values() if data is not None)


def waits_in_vain_for(view: View, request: Request) -> tuple[str, ...]:
    """Those who have no second factor, where without them a waiting request that takes codes can never be cleared."""
    if not request.needs_code or request.status is not Status.WAITING or request.override is not None:
        return ()
    return lacking(request, enrolled_people(view))


def lacking(request: Request, enrolled: Collection[str]) -> tuple[str, ...]:
    """The same, pure: of those who may approve, who is not among `enrolled`; empty where enough are, or nobody is named."""
    without = tuple(one for one in request.eligible if one not in enrolled and not one.startswith("os:"))
    given = {one.person: one.fills for one in request.approvals if one.stands}
    could = {
        one: [name for name, people in request.may_fill.items() if one in people]
        for one in request.eligible
        if one in enrolled and one not in given
    }
    return without if fill(request.rules, {**given, **could}).unfilled else ()


def too_few(
    settings: Environment, members: Mapping[str, Collection[str]], enrolled: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The rules of an environment that takes codes of which too few people have a second factor, each with those who have
    none. `members`: of the groups, by handle."""
    if not settings.takes_codes:
        return {}
    rules: list[tuple[str, int, Sequence[str]]] = [("approvers", settings.approvals, settings.approvers)]
    rules += [(f"rule {rule.name}", rule.approvals, rule.approvers) for rule in settings.rules]
    found: dict[str, tuple[str, ...]] = {}
    for name, needed, entries in rules:
        people = sorted(
            {one for entry in entries for one in members.get(entry, (entry,)) if one.startswith(("U", "W"))}
        )
        if sum(1 for one in people if one in enrolled) < needed:
            found[name] = tuple(one for one in people if one not in enrolled)
    return found
