"""What comes next for a request, in each of its states: who does what, and what to type for it."""

from collections.abc import Sequence

from commands.left_parts import is_all_applied
from commands.page import Command
from commands.page import Line
from commands.page import Span
from commands.page import Who
from commands.page_words import hint_line
from commands.page_words import joined
from commands.page_words import person
from commands.page_words import plural
from commands.partial_parts import end_blockers
from commands.partial_parts import or_resume
from commands.partial_parts import ways_on
from commands.request_parts import lock_wait_of
from commands.request_parts import was_stopped
from commands.when_parts import too_late
from ops.asking_again import again_of
from ops.asking_again import hint_after_change
from ops.errors import Reason
from ops.gates import Verdict
from ops.locking import Lock
from ops.requests import PUSH
from ops.requests import Request
from ops.status import Status

PEOPLE_NAMED = 4
"""So many of those who may approve are named; of more, their groups say enough."""


def next_line(request: Request, status: Status, lock: Lock | None) -> Line:
    """What comes next, by its status. `lock`: what an approved request waits for, if anything."""
    match status:
        case Status.WAITING if lock and not request.waits_for_people:
            unlocks = Command(f"unlock {request.environment}")
            return ("it starts when the lock ends; ", Who(lock.by.id), " can end it before with ", unlocks, ".")
        case Status.WAITING:
            return _next_while_waiting(request)
        case Status.RUNNING:
            return _next_while_running(request)
        case _:
            return _next_after(request, status)


def _next_while_running(request: Request) -> Line:
    if request.stop_asked is not None:
        return ("nothing to do; this card says what is on the target when it has stopped.",)
    if lock_wait_of(request):
        ends = end_blockers(request, (lock_wait_of(request) or {}).get("blockers", ()))
        return (*ends, "; or wait: it gives up by itself, and nothing of the file then remains.")
    return ("nothing to do; this card follows the run. ", Command(f"stop {request.id}"), " ends it early.")


def _next_after(request: Request, status: Status) -> Line:
    again = Command(again_of(request))
    match status:
        case Status.PARTIALLY_APPLIED if is_all_applied(request, status):
            return ("look at the application, and mend it with a new migration; ", again, " runs it.")
        case Status.PARTIALLY_APPLIED if (
            request.ending.get("within") or request.ending.get("functions") or was_stopped(request)
        ):
            return (*_freed(request), *ways_on(request))
        case Status.PARTIALLY_APPLIED if request.kind == PUSH:
            mends: Line = (Who(request.by.id), " mends what failed in a new commit; then ", again, " runs what is left")
            back: Line = (
                (". ", Command(f"rollback {request.id}"), " shows the ways back.") if request.applied else (".",)
            )
            return (*(_freed(request) or mends), *back)
        case Status.PARTIALLY_APPLIED:
            return ways_on(request)
        case Status.INTERRUPTED if request.settlement is not None:
            return ("settled, the target is free; ask again with ", again, *or_resume(request), ".")
        case Status.INTERRUPTED:
            found = Command(f"cancel {request.id} <what you found>")
            return (
                *_who_settles(request),
                " looks at the target; when it is clear what happened, ",
                found,
                " frees it.",
            )
        case Status.FAILED if request.ending.get("reason") == Reason.LOCK_TIMEOUT:
            return (*_freed(request), "ask again later with ", again, ".")
        case Status.FAILED | Status.REJECTED if not was_stopped(request):
            return (Who(request.by.id), " mends that, then asks again with ", again, ".")
        case Status.SUPERSEDED if request.ending.get("by"):
            return ("see the newer plan with ", Command(f"show {request.ending['by']}"), ".")
        case Status.SUPERSEDED if request.kind != PUSH:
            return hint_line(hint_after_change(request, request.ending.get("changed") or ()))
        case Status.SUPERSEDED:
            return ("ask again with ", again, "; approvals of the old plan do not count for the new one.")
        case _:
            return ("to run it after all, ask again with ", again, ".")


def _freed(request: Request) -> Line:
    """How to end what a run waited for in vain; nothing where it ended for another reason."""
    if request.ending.get("reason") != Reason.LOCK_TIMEOUT:
        return ()
    failed = next((step.detail for step in request.steps if step.outcome == "failed"), {})
    return (*end_blockers(request, failed.get("blockers", ())), "; then ")


def _who_settles(request: Request) -> Line:
    approvers = request.deciders
    return ("one of ", *joined(map(person, approvers))) if approvers else ("whoever has a terminal on the bot's host",)


def _next_while_waiting(request: Request) -> Line:
    if not request.waits_for_people:
        what = Command(f"status {request.environment}")
        return ("it starts as soon as the target is free; ", what, " tells what is in the way.")
    if request.shown is None:
        is_sql = request.kind == PUSH and not request.plan.get("functions")
        about = "the full SQL" if is_sql else "what it stands for"
        return (f"{about} goes into the thread; then the Approve button appears.",)
    needed = plural(request.missing, "more approval" if request.approvals else "approval")
    cancels = (Who(request.by.id), " can cancel.")
    classes: Line = (", with ", *_coverers(request), f" for {_and(request.uncovered)}") if request.uncovered else ()
    return (f"{needed} by ", *may_approve_line(request), *classes, "; one of them can also reject, and ", *cancels)


def _coverers(request: Request) -> Line:
    """Those whom the policy asks for because of the classes that nobody has agreed to yet."""
    named = dict.fromkeys(who for name in request.uncovered for who in request.class_rules[name]["approvers"])
    return joined(map(person, named))


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def card_line(request: Request, waits: Verdict) -> Line:
    """What comes next for who asked: where the card is, whom it waits for, and that it is too late, if it is."""
    late = too_late(request, waits)
    first: Line = (*late, " Its card") if late else ("its card",)
    people: Line = (" It waits for ", *may_approve_line(request), ".") if request.waits_for_people else ()
    return (*first, " is in the channel.", *people, " To take it back: ", Command(f"cancel {request.id}"))


def may_approve_line(request: Request) -> Line:
    """Who is asked: by name those whose yes would still count, or, if they are many, as the policy names them."""
    given = {one.person for one in request.approvals if one.stands} | {
        one.by.id for one in request.approvals if one.stands
    }
    left = [one for one in request.eligible if one not in given and request.lacks(one)]
    people: list[Span] = [person(one) for one in left]
    if 0 < len(people) <= PEOPLE_NAMED:
        return joined(people)
    return joined(map(person, request.deciders))
