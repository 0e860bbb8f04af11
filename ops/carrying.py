"""Whether what people said yes to is still what would run when a new plan takes a waiting one's place.

An approval is carried only where all that it covered is unchanged, nothing was added for that person to see and no hazard
rose; otherwise it is voided, with the reason. What is asked of others is gathered first; deciding is pure, inside the log's
transaction.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any

from audit import Draft
from audit import View
from ops.clearance import covered_classes
from ops.clearance import filled_rules
from ops.errors import OpsError
from ops.history import HistoryRow
from ops.landing import landings_since
from ops.layer import Ops
from ops.people import Actor
from ops.plan import Plan
from ops.plan import pending_of
from ops.plan_difference import NO_TEXTS
from ops.plan_difference import Difference
from ops.plan_difference import Texts
from ops.plan_difference import difference
from ops.policy import Directory
from ops.policy import entitled
from ops.requests import PUSH
from ops.requests import Request
from ops.requests import find_request
from ops.said import Approval
from ops.status import Status

PLANNER = Actor("system:plan")

REASONS_SAID = 5
"""So many reasons stand in a sentence; the event has more of them beside it."""

COMMIT_LETTERS = 12

_NOT_ASKED = "Slack could not be asked who still counts, where it was asked for again"


@dataclass(frozen=True)
class Gathered:
    """What was asked of others before the decision. `asked`: the people whom `directory` tells of; None: nobody could be.

    `history`: the rows of the target as the new plan saw it. `texts`: by the request that somebody said yes to.
    """

    directory: Directory = field(default_factory=lambda: Directory({}, {}))
    asked: frozenset[str] | None = None
    history: tuple[HistoryRow, ...] = ()
    texts: Mapping[str, Texts] = field(default_factory=dict)


class MoreToAskError(Exception):
    """Somebody said yes after the facts were gathered: gather them again."""


def gather(ops: Ops, plan: Plan, older: Sequence[Request]) -> Gathered:
    """What has to be known to decide about the approvals of these requests, whose place a new plan is to take.

    Raises OpsError(IDENTITY_UNPROVEN) where Slack's answer is uncertain.
    """
    given = [one for one in older if one.approvals]
    if not given:
        return Gathered(asked=frozenset() if ops.people.are_known else None, history=plan.history)
    after = {one.filename: one.text for one in plan.pending}
    agreed_to = {yes.carried_from or one.id: one for one in given for yes in one.approvals}
    texts = {
        number: Texts(_texts_of(ops, one if one.id == number else find_request(ops.view, number)), after)
        for number, one in agreed_to.items()
    }
    if not ops.people.are_known:
        return Gathered(history=plan.history, texts=texts)
    users = frozenset(yes.by.user for one in given for yes in one.approvals if yes.by.user)
    handles = tuple(dict.fromkeys(entry for one in given for entry in one.deciders))
    directory = ops.directory(handles, users=tuple(sorted(users)), members=False)
    return Gathered(directory, users, plan.history, texts)


def _texts_of(ops: Ops, request: Request) -> Mapping[str, str]:
    """The files that people agreed to, to count what differs; nothing where they cannot be read any more."""
    try:
        files = pending_of(ops.repository(ops.target_of(request)), request.commit, request.files)
    except OpsError:
        return {}  # a forced push may have taken the commit away
    return {file.filename: file.text for file in files}


def carry(view: View, ops: Ops, older: Request, newer: Request, gathered: Gathered) -> list[Draft]:
    """The events that say of each yes to `older` whether it counts for `newer`, in the stream of that.

    Each is compared with the plan that this person really read and said yes to, however often it was carried since: so
    nothing grows step by step. The requests and the runs since are as this view of the log has them. Raises MoreToAskError
    when somebody said yes whom nobody has asked Slack about.
    """
    if not older.approvals:
        return []
    people = {one.by.user for one in older.approvals if one.by.user}
    if gathered.asked is not None and not people <= gathered.asked:
        raise MoreToAskError
    origins = {one.carried_from: find_request(view, one.carried_from) for one in older.approvals if one.carried_from}
    origins[""] = older
    differences = {
        name: difference(
            origin, newer, landings_since(view, origin), gathered.history, gathered.texts.get(origin.id, NO_TEXTS)
        )
        for name, origin in origins.items()
    }
    facts = _facts_of(view, older)
    drafts = []
    for approval in older.approvals:
        origin, found = origins[approval.carried_from], differences[approval.carried_from]
        # The ids of the groups as they were pinned for the plan that was approved: a handle that means another group voids.
        judged = replace(older, pinned=older.pinned if origin.pinned is None else origin.pinned)
        because = why_void(approval, judged, newer, found, gathered, ops.requester_is(newer.by))
        data = {
            "from_digest": origin.digest,
            "to_digest": newer.digest,
            "approver": approval.by.id,
            "from_request": origin.id,
            "approved_at": approval.at.isoformat(),
            "differs": found.to_json(),
        }
        if because:
            voided = {**data, "person": approval.person, "because": because}
            drafts.append(ops.draft("approval_voided", PLANNER, newer, voided))
        else:
            now = _facts_now(approval, newer, gathered.directory, facts.get(approval.by.id, {}))
            carried = {**data, "because": why_carried(found, origin, newer), "facts": now}
            drafts.append(ops.draft("approval_carried", PLANNER, newer, carried))
    return drafts


def void_all(ops: Ops, older: Request, newer: Request, because: str) -> list[Draft]:
    """The events that say that no yes to `older` counts for `newer`, for one reason."""
    return [
        ops.draft(
            "approval_voided",
            PLANNER,
            newer,
            {
                "from_digest": one.carried_digest or older.digest,
                "to_digest": newer.digest,
                "approver": one.by.id,
                "from_request": one.carried_from or older.id,
                "approved_at": one.at.isoformat(),
                "person": one.person,
                "because": because,
            },
        )
        for one in older.approvals
    ]


def why_void(
    approval: Approval,
    older: Request,
    newer: Request,
    found: Difference,
    gathered: Gathered,
    requester_is: str | None,
) -> str:
    """Why one yes to `older` does not count for `newer`, as a phrase for everybody; empty: it does."""
    if found.reasons:
        more = len(found.reasons) - REASONS_SAID
        return "; ".join([*found.reasons[:REASONS_SAID], *([f"and {more} more"] if more > 0 else [])])
    if (older.by.id, older.kind, newer.kind) != (newer.by.id, PUSH, PUSH):
        return f"{newer.id} is somebody else's request, or one of another kind"
    if approval.digest != older.digest or older.status is not Status.WAITING:
        return f"it was not a yes to {older.id} as it waited"
    if not approval.stands:
        return "it no longer counted"
    if gathered.asked is None:
        return _NOT_ASKED
    unaccepted = sorted({*newer.classes} - {*approval.accepts})
    if unaccepted:
        return f"it did not accept {', '.join(unaccepted)}"
    decision = entitled(
        replace(newer, pinned=older.pinned), approval.by, gathered.directory, requester_is, approval.person
    )
    return "" if decision.allowed else f"who gave it may not decide any more ({decision.reason})"


def why_carried(found: Difference, agreed_to: Request, newer: Request) -> str:
    """Why a yes counts on, and what of the plan is not as that person saw it all the same, as sentences."""
    ran = f"; {', '.join(found.landed)} ran meanwhile, and did only what the log says" if found.landed else ""
    done = f" What is done of it: {', '.join(found.ran)}." if found.ran else ""
    was, now = agreed_to.commit[:COMMIT_LETTERS], newer.commit[:COMMIT_LETTERS]
    moved = f" The commit is another one: {was} → {now}." if was != now else ""
    return f"Everything that it covered is as it was, and nothing was added{ran}.{done}{moved}"


def _facts_of(view: View, request: Request) -> Mapping[str, Mapping[str, Any]]:
    """The facts of each yes as they were recorded, by who gave it: what came with it, such as a code, stays with it."""
    found: dict[str, Mapping[str, Any]] = {}
    for event in view.events(stream=request.stream):
        data = event.data or {}
        if event.kind in {"approved", "approval_carried"}:
            found.setdefault(data.get("approver") or event.actor, data["facts"])
    return found


def _facts_now(
    approval: Approval, newer: Request, directory: Directory, before: Mapping[str, Any]
) -> Mapping[str, object]:
    return {
        **before,
        "person": approval.person,
        "accepts": list(newer.classes),
        "covers": list(covered_classes(newer, approval.by, directory)),
        "fills": list(filled_rules(newer, approval.by, directory)),
    }
