"""App Home: what waits for this person, the environments, their requests, what happened last. It links to cards only.

Every part is a page, so that a front shows it as it shows all pages. Who may approve is asked of the same pure
function as a click is; the click asks again, live.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from audit import Query
from commands.kind_parts import subject_of
from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Span
from commands.page import Strong
from commands.page import When
from commands.page import Who
from commands.page_words import hint_line
from commands.page_words import shortened
from commands.plan_page import worst_hazard
from commands.request_page import half_line
from commands.request_page import state_words
from commands.when_parts import when_changes_at
from commands.when_parts import when_lines
from ops.afterwards import Afterwards
from ops.afterwards import afterwards_of
from ops.afterwards import half_way
from ops.backups import last_backup
from ops.clearance import may_approve
from ops.debts import Debt
from ops.debts import open_debts
from ops.errors import OpsError
from ops.freezing import freezes_of
from ops.layer import Ops
from ops.locking import Lock
from ops.locking import lock_of
from ops.occupying import Occupant
from ops.occupying import occupant_of
from ops.people import Actor
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.status import Status
from ops.targets import all_targets

WAITING_SHOWN = 10
TARGETS_SHOWN = 15
PART_LINES = 5
"""So many lines fit into one part however long their names are: a part that is cut would not say how much is missing."""

MINE_SHOWN = 5
RECENT_SHOWN = 5

REFRESH = "refresh"
"""The verb of Home's one button. It decides nothing: whoever presses it gets their own Home anew."""


@dataclass(frozen=True)
class TargetState:
    """One target as the log tells of it.

    `backup`: when one was last proven there, and how far. `deployed`: the request that last succeeded there, and when.
    `half`: the requests that left it half-way. `owed`: the reviews of what ran there without approvals.
    `when`: that it is frozen or outside its windows, each with the word before it.
    """

    name: str
    environment: str
    occupant: Occupant | None
    lock: Lock | None
    waiting: int
    backup: tuple[datetime, str] | None
    deployed: tuple[str, datetime] | None
    half: Sequence[Request] = ()
    owed: Sequence[Debt] = ()
    when: Sequence[tuple[str, Line]] = ()
    when_changes_at: datetime | None = None


@dataclass(frozen=True)
class Overview:
    """What Home shows to everybody alike. `waiting` are soonest to expire first, `recent` newest first."""

    waiting: Sequence[Request]
    open: Sequence[Request]
    recent: Sequence[Request]
    targets: Sequence[TargetState]

    @property
    def changes_at(self) -> datetime | None:
        """When this is no longer true although nothing happens: the first lock or freeze ends, or a window opens."""
        locks = [target.lock.until for target in self.targets if target.lock]
        times = [target.when_changes_at for target in self.targets if target.when_changes_at]
        return min((*locks, *times), default=None)


def read_overview(ops: Ops) -> Overview:
    """Read the log once for all who look."""
    view = ops.view
    found = open_requests(view)
    waiting = [one for one in found if one.status_at(ops.now()) is Status.WAITING]
    asked = view.find(Query(kinds=("requested",), newest_first=True, limit=RECENT_SHOWN))
    targets, debts = [], open_debts(view)
    for target in all_targets(ops.settings):
        backup = last_backup(view, target.project, target.environment)
        last = view.last(kind="succeeded", project=target.project, environment=target.environment)
        freezes = freezes_of(view, target.name, ops.now())
        targets.append(
            TargetState(
                name=target.name,
                environment=target.environment,
                occupant=occupant_of(view, target.stream),
                lock=lock_of(view, target.project, target.environment, ops.now()),
                waiting=sum(1 for one in waiting if one.target == target.name),
                backup=(backup[0], str(backup[1]["level"])) if backup else None,
                deployed=(last.request or "", last.at) if last else None,
                half=half_way(view, target),
                when=when_lines(target.settings, freezes, ops.now()),
                when_changes_at=when_changes_at(target.settings, freezes, ops.now()),
                owed=[one for one in debts if (one.project, one.environment) == (target.project, target.environment)],
            )
        )
    return Overview(
        waiting=sorted(waiting, key=lambda one: one.expires_at),
        open=found,
        recent=[find_request(view, event.request or "") for event in asked],
        targets=targets,
    )


def home_pages(ops: Ops, seen: Overview, actor: Actor) -> list[Page]:
    """Home for one full member: what they can do first."""
    mine, unknown = _for_me(ops, seen, actor)
    return [
        _waiting_page(mine, unknown, seen),
        _targets_page(seen),
        _requests_page("Your requests", _my_requests(ops, seen, actor), ops, "You have not asked for anything."),
        _requests_page("Recent", seen.recent, ops, "Nobody has asked for anything.", by=True),
    ]


def home_footer(now: datetime) -> Page:
    """The end of every Home: how fresh it is, and how to get more."""
    return Page(
        "More",
        next=(Command("help"), " tells what you may do, ", Command("status"), " what waits."),
        buttons=[Button(REFRESH, "Refresh", REFRESH)],
        body=[Paragraph(("Updated ", When(now), "."))],
        small=("Decide on a request's own card; its number here leads there.",),
    )


def refused_home(error: OpsError) -> list[Page]:
    """Home for somebody who is no full member: why, and nothing else."""
    body = [Paragraph((error.message,))]
    return [Page("Countersign shows you nothing here", body=body, next=hint_line(error.hint))]


def _for_me(ops: Ops, seen: Overview, actor: Actor) -> tuple[list[Request], list[Request]]:
    """The requests that this person may approve at this moment, and those of which nobody can say it just now."""
    mine, unknown = [], []
    for request in seen.waiting:
        if not request.waits_for_people:
            continue
        earlier = (approval.by.user for approval in request.approvals)
        try:
            directory = ops.directory(request.deciders, users=(actor.user, *earlier), members=False)
        except OpsError:
            unknown.append(request)
            continue
        asked_by, this_is = ops.requester_is(request.by), ops.requester_is(actor)
        if may_approve(request, actor, directory, asked_by, ops.now(), this_is).allowed:
            mine.append(request)
    return mine, unknown


def _waiting_page(mine: Sequence[Request], unknown: Sequence[Request], seen: Overview) -> Page:
    lines = [_waiting_line(request) for request in mine[:WAITING_SHOWN]]
    if len(mine) > WAITING_SHOWN:
        lines.append(
            (
                f"and {len(mine) - WAITING_SHOWN} more; ",
                Command("status"),
                " names them all",
            )
        )
    body: list[Part] = _listed(lines)
    if unknown:
        words = f"Slack does not say just now whether {_of_more(unknown)} wait for you."
        body.append(Paragraph((words,)))
    if mine:
        wait = "requests wait" if len(mine) > 1 else "request waits"
        following: Line = ("open a card by its number, read its SQL in the thread, and decide there.",)
        return Page(f"{len(mine)} {wait} for you", body=body, next=following)
    first = seen.targets[0].environment if seen.targets else "ENVIRONMENT"
    following = ("see what would run with ", Command(f"plan {first}"), ".")
    return Page("Nothing waits for you", body=body, next=following)


def _of_more(requests: Sequence[Request]) -> str:
    names = [request.id for request in requests[:MINE_SHOWN]]
    return ", ".join(names) + (f" and {len(requests) - len(names)} more" if len(requests) > len(names) else "")


def _waiting_line(request: Request) -> Line:
    return (
        Code(request.id),
        f" · {request.target} · {subject_of(request)} · {worst_hazard(request.hazards)} · by ",
        Who(request.by.id),
        " · expires ",
        When(request.expires_at),
    )


def _targets_page(seen: Overview) -> Page:
    shown = seen.targets[:TARGETS_SHOWN]
    lines = [_target_line(target) for target in shown]
    if len(seen.targets) > len(shown):
        lines.append((f"and {len(seen.targets) - len(shown)} more; ", Command("status"), " names them all"))
    return Page("Environments", body=_listed(lines))


def _listed(lines: Sequence[Line]) -> list[Part]:
    return [Listing("", lines[start : start + PART_LINES]) for start in range(0, len(lines), PART_LINES)]


def _target_line(target: TargetState) -> Line:
    line: list[Span] = [Strong(target.name), ": ", *_state(target)]
    if target.waiting:
        line.append(f" · {target.waiting} waiting")
    for debt in target.owed:
        line += [" · review of ", Code(debt.request), " owed, due ", When(debt.due_at)]
    if target.deployed:
        line += [" · last deploy ", Code(target.deployed[0]), " ", When(target.deployed[1])]
    else:
        line.append(" · nothing deployed yet")
    if target.backup:
        line += [" · last proven backup ", When(target.backup[0]), f", {target.backup[1]}"]
    else:
        line.append(" · no proven backup")
    return tuple(line)


def _state(target: TargetState) -> Line:
    """Whether somebody could run something there now, and if not, what or who is in the way."""
    line: list[Span] = []
    if (found := target.occupant) is not None and found.blocked:
        line = ["blocked by ", Code(found.request), ", which was interrupted ", When(found.since)]
    elif found is not None:
        line = ["running ", Code(found.request), " since ", When(found.since)]
    if (lock := target.lock) is not None:
        line += [*([", "] if line else []), "locked by ", Who(lock.by.id), " until ", When(lock.until)]
        line += [f" ({shortened(lock.because)})"] if lock.because else []
    for mark, told in target.when:
        line += [*([", "] if line else []), f"{mark}: ", *told]
    for one in target.half:
        line += [*([", "] if line else []), "half-way: ", *half_line(one)]
    return tuple(line) or ("free",)


def _my_requests(ops: Ops, seen: Overview, actor: Actor) -> list[Request]:
    """This person's open requests, also those asked at their terminal, and their newest others."""
    mine = {one.id: one for one in seen.open if one.by == actor or ops.requester_is(one.by) == actor.user}
    read = {one.id: one for one in (*seen.recent, *seen.open)}
    query = Query(actor=actor.id, kinds=("requested",), newest_first=True, limit=MINE_SHOWN)
    for event in ops.view.find(query):
        number = event.request or ""
        mine[number] = read.get(number) or find_request(ops.view, number)
    newest = sorted(mine.values(), key=lambda one: one.requested_at, reverse=True)
    return sorted(newest, key=lambda one: one.is_over)[:MINE_SHOWN]


def _requests_page(title: str, requests: Sequence[Request], ops: Ops, empty: str, *, by: bool = False) -> Page:
    if not requests:
        return Page(title, body=[Paragraph((empty,))])
    lines = [_request_line(one, afterwards_of(ops.view, one), ops.now(), by=by) for one in requests]
    return Page(title, body=_listed(lines))


def _request_line(request: Request, since: Afterwards, now: datetime, *, by: bool) -> Line:
    status = request.status_at(now)
    line: list[Span] = [Code(request.id), f" · {request.target} · "]
    if by:
        line += [Who(request.by.id), " · "]
    # How far a run is, its card tells: Home is published for many people, and not for every step.
    line.append(Strong("running" if status is Status.RUNNING else state_words(request, status, since)))
    if status is Status.WAITING and request.needed:
        given = f", {request.given} of {request.given + request.missing}" if request.override is None else ""
        line += [given, ", expires ", When(request.expires_at)]
    elif status is Status.EXPIRED:
        line += [" ", When(request.expires_at)]
    else:
        line += [" ", When(request.ended_at or request.started_at or request.requested_at)]
    return tuple(line)
