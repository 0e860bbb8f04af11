"""Why a request may start or not, and what would follow if certain people said yes at a certain moment. Reads only.

The judge is the one that the run itself asks (`ops.gates`), and a supposed yes is decided by what decides a real one.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime

from audit import Event
from ops.approving import approved_data
from ops.clearance import may_approve
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import Gate
from ops.gates import Verdict
from ops.gates import facts_of
from ops.gates import judge
from ops.gates.asked import live_directory
from ops.gates.asked import needs_people
from ops.hotfixing import hotfix_of
from ops.layer import Ops
from ops.people import Actor
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import person_of
from ops.requests import Request
from ops.requests import find_request
from ops.requests import fold
from ops.requests import stream_of
from ops.second_factor import CODE
from ops.second_factor import check_enrolled

_GROUP_MENTION = "!subteam^"
"""How Slack writes a mention of a group, before its id."""


@dataclass(frozen=True)
class Supposed:
    """Somebody who is supposed to say yes, and what would be decided; what they would be told is in the decision."""

    actor: Actor
    decision: Decision


@dataclass(frozen=True)
class Explained:
    """What every gate says of a request at a moment; with `supposed`, as if those people had said yes by then."""

    request: Request
    at: datetime
    verdict: Verdict
    supposed: tuple[Supposed, ...] = ()


def explain(ops: Ops, number: str) -> Explained:
    """What is met and what is missing now. Where Slack cannot be asked who counts, that is what is missing."""
    view, now = ops.view, ops.now()
    request = find_request(view, number)
    try:
        directory = live_directory(ops, request) if needs_people(request) else Directory({}, {})
    except OpsError as error:
        verdict = judge(facts_of(ops, request, view, Directory({}, {}), now))
        return Explained(
            request, now, replace(verdict, gates=tuple(_unasked(request, gate, error) for gate in verdict.gates))
        )
    return Explained(request, now, judge(facts_of(ops, request, view, directory, now)))


def simulate(ops: Ops, number: str, people: Sequence[str], at: datetime | None = None) -> Explained:
    """What would be so if these people (ids, `@handles` or names of those who may approve) said yes, one after the other,
    at that moment, now if not said. Writes nothing.

    The plan is taken as it is; it is computed again when somebody really says yes. Raises OpsError(BAD_USAGE) for somebody
    whom nobody knows, IDENTITY_UNPROVEN where Slack cannot be asked.
    """
    view, moment = ops.view, at or ops.now()
    request = find_request(view, number)
    events = view.events(stream=stream_of(request.id))
    ids = tuple(said.removeprefix("@") for said in people if is_id(said))
    directory = live_directory(ops, request, also=ids, with_members=bool(people))
    actors = [_actor_named(said, request, directory) for said in people]
    requester_is = ops.requester_is(request.by)
    cannot_prove = _cannot_prove(ops, actors, moment) if request.needs_code else {}
    then, supposed = suppose(events, actors, directory, requester_is, moment, ops.requester_is, cannot_prove)
    verdict = judge(facts_of(ops, then, view, directory, moment))
    return Explained(then, moment, verdict, supposed)


def suppose(
    events: Sequence[Event],
    actors: Sequence[Actor],
    directory: Directory,
    requester_is: str | None,
    at: datetime,
    slack_id_of: Callable[[Actor], str | None],
    cannot_prove: Mapping[str, Decision],
) -> tuple[Request, tuple[Supposed, ...]]:
    """The request that these events tell of, after each actor in turn said yes with all that the policy wants beside it.

    `cannot_prove`: by an actor's id, why they could give no one-time code where one is wanted.
    Pure: a yes that would count becomes one more event of the story, as the log would have it, in memory only.
    """
    story, answers = list(events), []
    for actor in actors:
        request, actor_is = fold(story), slack_id_of(actor)
        decision = may_approve(request, actor, directory, requester_is, at, actor_is)
        decision = cannot_prove.get(actor.id, decision) if decision.allowed else decision
        answers.append(Supposed(actor, decision))
        if decision.allowed:
            proved = {"proved": CODE} if request.needs_code else {}
            facts = {**decision.facts, **proved, "person": person_of(actor, actor_is)}
            data = approved_data(request, directory, requester_is, facts)
            last = story[-1]
            story.append(replace(last, kind="approved", actor=actor.id, at=at, place=last.place + 1, data=data))
    return fold(story), tuple(answers)


def _cannot_prove(ops: Ops, actors: Sequence[Actor], at: datetime) -> dict[str, Decision]:
    """Who of these could give no one-time code then, and what they would be told."""
    found: dict[str, Decision] = {}
    for actor in actors:
        try:
            check_enrolled(ops, actor, at)
        except OpsError as error:
            found[actor.id] = Decision(False, error.reason, error.message, error.hint)
    return found


def is_id(said: str) -> bool:
    """Whether this is a Slack id, as typed or as Slack writes a mention."""
    return Actor(f"slack:T0/{said.removeprefix('@')}").user is not None


def _actor_named(said: str, request: Request, directory: Directory) -> Actor:
    """Who is meant: an id, a listed terminal user, or the one person of this name among those who may approve."""
    if said.startswith("os:"):
        return Actor(said)
    if is_id(said):
        return Actor(f"slack:T0/{said.removeprefix('@')}")
    wanted = said.removeprefix("@").casefold()
    found = [one.user for one in directory.people.values() if one.name.casefold() == wanted]
    if len(found) == 1:
        return Actor(f"slack:T0/{found[0]}")
    names = ", ".join(sorted(one.name for one in directory.people.values())[:20])
    group = _group_named(said, directory)
    if group is not None:
        raise OpsError(
            Reason.BAD_USAGE,
            f"{group} is a group, and it is people who say yes.",
            f"Name those who would: {names}." if names else "Say the Slack ids of those who would.",
        )
    raise OpsError(
        Reason.BAD_USAGE,
        f"{'Nobody' if not found else 'More than one'} of those who may approve {request.id} is called {said[:40]!r}.",
        f"Say a Slack id, mention somebody, or name one of: {names}." if names else "Say a Slack id.",
    )


def _group_named(said: str, directory: Directory) -> str | None:
    """The handle of the group that is meant, as typed or as Slack writes a mention of one; None: it is none."""
    mention = said.strip("<>")
    if not mention.startswith(_GROUP_MENTION):
        return said if said in directory.groups else None
    id = mention.removeprefix(_GROUP_MENTION).partition("|")[0]
    return next((handle for handle, group in directory.groups.items() if group.id == id), "That")


def _unasked(request: Request, gate: Gate, error: OpsError) -> Gate:
    """A gate that hangs on people where nobody could be asked about them: as the log has it, and closed."""
    if gate.name == "approvals" and request.needed:
        of = request.given + request.missing
        said = f"The log has {request.given} of {of} people's yes, but whether they count now is not known: {error.message}"
    elif gate.name == "hotfix" and hotfix_of(request):
        said = f"Whether who asked for a hotfix still may is not known: {error.message}"
    else:
        return gate
    return Gate(gate.name, False, said, error.hint, error.reason)
