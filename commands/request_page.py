"""The page of a request in each of its states: what people read before they decide, while it runs and afterwards."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from commands.adoption_parts import adoption_parts
from commands.adoption_parts import adoption_question
from commands.adoption_parts import is_adoption
from commands.changes_parts import CHANGES_SHOWN
from commands.kind_parts import again_of
from commands.kind_parts import is_stated
from commands.kind_parts import stated_parts
from commands.kind_parts import stated_question
from commands.kind_parts import title_of
from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Part
from commands.page import Span
from commands.page import Tone
from commands.page import Who
from commands.page_words import joined
from commands.page_words import migrations
from commands.page_words import person
from commands.page_words import plural
from commands.partial_parts import end_blockers
from commands.partial_parts import has_broken
from commands.partial_parts import is_left
from commands.partial_parts import or_resume
from commands.partial_parts import ways_on
from commands.plan_page import FILES_SHOWN
from commands.plan_page import HAZARDS_SHOWN
from commands.plan_page import files_part
from commands.plan_page import hazards_part
from commands.plan_page import is_dangerous
from commands.plan_page import ranked_hazards
from commands.plan_page import worst_hazard
from commands.rehearsal_parts import CARD
from commands.rehearsal_parts import WHOLE
from commands.rehearsal_parts import changed_parts
from commands.rehearsal_parts import has_failed
from commands.rehearsal_parts import rehearsed_parts
from commands.request_parts import LastBackup
from commands.request_parts import ending_parts
from commands.request_parts import facts_of
from commands.request_parts import is_all_applied
from commands.request_parts import lock_wait_of
from commands.request_parts import steps_part
from commands.request_parts import was_stopped
from commands.watch_parts import after_words
from commands.watch_parts import is_worse
from commands.watch_parts import watch_buttons
from commands.watch_parts import watch_parts
from ops.approving import PREFIX_LENGTH
from ops.locking import Lock
from ops.requests import PUSH
from ops.requests import Request
from ops.status import Status

PEOPLE_NAMED = 4
"""So many of those who may approve are named; of more, their groups say enough."""

CONFIRM_LETTERS = 250
LEAST_HAZARD_LETTERS = 20
"""Of the 300 letters of a question that Slack takes, without the words around the worst hazard's sentence."""


def request_page(
    request: Request,
    now: datetime,
    last_backup: LastBackup | Literal["unasked"] | None = "unasked",
    lock: Lock | None = None,
) -> Page:
    """A request as it stands: the root of its thread. `last_backup` None: the log knows none. `lock`: of its target."""
    status = request.status_at(now)
    held = lock if status is Status.WAITING else None
    return Page(
        headline=_headline(request, status, held),
        facts=facts_of(request, status, last_backup, held),
        body=_body(request, status),
        next=after_words(request, now) if status is Status.SUCCEEDED else _next(request, status, held),
        buttons=_buttons(request, status),
        small=_small(request, status),
        tone=_tone(request, status, held),
    )


def _tone(request: Request, status: Status, lock: Lock | None) -> Tone:
    if lock or (status is Status.WAITING and is_dangerous(request.hazards)):
        return "warning"
    if status is Status.SUCCEEDED and is_worse(request):
        return "bad"
    return _TONES[status]


def _small(request: Request, status: Status) -> Line:
    """What can be looked up."""
    commit: Line = (
        () if status is Status.WAITING or not request.commit else ("commit ", Code(request.commit[:12]), " · ")
    )
    digest = Code(request.digest[:PREFIX_LENGTH])
    return (*commit, "plan ", digest, " · ", Command(f"show {request.id}"), " for everything")


def _body(request: Request, status: Status) -> list[Part]:
    """Before the run, what would run; from its start on, how it goes. What went wrong comes first."""
    steps = steps_part(request) if request.steps else []
    if status is not Status.WAITING:
        return [*watch_parts(request), *ending_parts(request, status), *steps]
    everything: Line = (Code(f"countersign show {request.id}"), " lists all")
    if is_adoption(request):
        return [*adoption_parts(request), *steps]
    if is_stated(request):
        hazards = hazards_part(request.hazards, HAZARDS_SHOWN, everything) if request.files else []
        return [*stated_parts(request), *hazards, *steps]
    in_thread = request.shown is not None and request.shown["how"] == "file"
    named_only = [{"filename": one["filename"]} for one in request.files]
    hazards = hazards_part(request.hazards, HAZARDS_SHOWN, everything)
    rehearsed = rehearsed_parts(request, CARD)
    return [
        *([*rehearsed, *hazards] if has_failed(request) else [*hazards, *rehearsed]),
        *changed_parts(
            request, CHANGES_SHOWN, ("the whole diff is in the thread's file",) if in_thread else everything
        ),
        *files_part(
            named_only if in_thread or request.shown is None else request.files,
            FILES_SHOWN,
            ("all are in the thread's file",) if in_thread else everything,
        ),
        *steps,
    ]


def whole_body(request: Request, status: Status) -> list[Part]:
    """Everything about a request: how it went, all hazards, all files with their hashes."""
    went = [*watch_parts(request), *ending_parts(request, status), *(steps_part(request) if request.steps else [])]
    if is_adoption(request):
        return [*went, *adoption_parts(request, None)]
    if is_stated(request):
        sentences = stated_parts(request, None)
        return [*went, *sentences, *hazards_part(request.hazards, None, ()), *files_part(request.files, None, ())]
    return [
        *went,
        *hazards_part(request.hazards, None, ()),
        *rehearsed_parts(request, WHOLE),
        *changed_parts(request, None, (Code(f"countersign show {request.id} --json"), " lists all")),
        *files_part(request.files, None, ()),
    ]


_HEADLINES = {
    Status.WAITING: "waiting for approval",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "done",
    Status.FAILED: "failed, nothing of it remains",
    Status.INTERRUPTED: "interrupted, a person must decide",
    Status.REJECTED: "rejected, nothing was run",
    Status.CANCELLED: "cancelled, nothing was run",
    Status.EXPIRED: "expired, nothing was run",
    Status.SUPERSEDED: "no longer holds, nothing was run",
}

_TONES: dict[Status, Tone] = {
    Status.WAITING: "plain",
    Status.RUNNING: "busy",
    Status.SUCCEEDED: "good",
    Status.FAILED: "bad",
    Status.PARTIALLY_APPLIED: "bad",
    Status.INTERRUPTED: "bad",
    Status.REJECTED: "warning",
    Status.CANCELLED: "plain",
    Status.EXPIRED: "warning",
    Status.SUPERSEDED: "warning",
}


def _headline(request: Request, status: Status, lock: Lock | None) -> str:
    words = state_words(request, status) if request.missing or not lock else "approved, waits for a lock to end"
    words += ", failed on a copy" if status is Status.WAITING and has_failed(request) else ""
    return f"{request.id} · {title_of(request)}{request.target}: {words}"


def state_words(request: Request, status: Status) -> str:
    """How a request stands, in the words of its card's first line."""
    if request.settlement is not None:
        return "interrupted, and settled by a person"
    if status is Status.WAITING and not request.missing:
        return "starting" if not request.needed else "approved, starts when it can"
    if status is Status.RUNNING:
        return _running_words(request)
    if status is Status.SUCCEEDED and is_worse(request):
        return "done, and worse than before"
    if is_all_applied(request, status):
        return "all applied, but not ended well"
    if status is Status.FAILED and was_stopped(request):
        return "stopped, nothing of it remains"
    return _partly_words(request) if status is Status.PARTIALLY_APPLIED else _HEADLINES[status]


def _partly_words(request: Request) -> str:
    """Whether a person ended it or an error did, and how much of it is on the target."""
    ended = "stopped" if was_stopped(request) else "failed half-way"
    part = " and part of one more" if request.ending.get("within") else ""
    return f"{ended}, {len(request.applied)} of {len(request.files)} applied{part}"


def _running_words(request: Request) -> str:
    """`running, migration 2 of 3`: which step, and how far it is."""
    doing = next((step.name for step in request.steps if step.outcome == "running"), "")
    if request.stop_asked is not None:
        return "running, told to stop"
    if lock_wait_of(request):
        return "running, waiting for a lock"
    if doing == "migrate":
        what = "migration" if request.kind == PUSH else "script"
        return f"running, {what} {min(len(request.applied) + 1, len(request.files))} of {len(request.files)}"
    return f"running, {doing}" if doing else "running"


def _next(request: Request, status: Status, lock: Lock | None) -> Line:
    match status:
        case Status.WAITING if lock and not request.missing:
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
        case Status.PARTIALLY_APPLIED if request.ending.get("within"):
            return ways_on(request)
        case Status.PARTIALLY_APPLIED if was_stopped(request):
            return ("to run what is left, ask again with ", again, ".")
        case Status.PARTIALLY_APPLIED if is_all_applied(request, status):
            return ("look at the application, and mend it with a new migration; ", again, " runs it.")
        case Status.PARTIALLY_APPLIED:
            return (Who(request.by.id), " mends what failed in a new commit; then ", again, " runs what is left.")
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
        case Status.FAILED | Status.REJECTED if not was_stopped(request):
            return (Who(request.by.id), " mends that, then asks again with ", again, ".")
        case Status.SUPERSEDED if request.ending.get("by"):
            return ("see the newer plan with ", Command(f"show {request.ending['by']}"), ".")
        case Status.SUPERSEDED:
            return ("ask again with ", again, "; approvals of the old plan do not count for the new one.")
        case _:
            return ("to run it after all, ask again with ", again, ".")


def _who_settles(request: Request) -> Line:
    approvers = request.deciders
    return ("one of ", *joined(map(person, approvers))) if approvers else ("whoever has a terminal on the bot's host",)


def _next_while_waiting(request: Request) -> Line:
    if not request.missing:
        what = Command(f"status {request.environment}")
        return ("it starts as soon as the target is free; ", what, " tells what is in the way.")
    if request.shown is None:
        about = "the full SQL" if request.kind == PUSH else "what it stands for"
        return (f"{about} goes into the thread; then the Approve button appears.",)
    needed = plural(request.missing, "more approval" if request.approvals else "approval")
    cancels = (Who(request.by.id), " can cancel.")
    classes: Line = (", with ", *_coverers(request), f" for {_and(request.uncovered)}") if request.uncovered else ()
    return (f"{needed} by ", *may_approve_line(request), *classes, "; one of them can also reject, and ", *cancels)


def _coverers(request: Request) -> Line:
    """Those whom the policy asks for because of the classes that nobody has agreed to yet."""
    named = dict.fromkeys(who for name in request.uncovered for who in request.rules[name]["approvers"])
    return joined(map(person, named))


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def may_approve_line(request: Request) -> Line:
    """Who is asked: by name those whose yes would still count, or, if they are many, as the policy names them."""
    given = {one.person for one in request.approvals if one.stands} | {
        one.by.id for one in request.approvals if one.stands
    }
    left = [one for one in request.eligible if one not in given]
    people: list[Span] = [person(one) for one in left]
    if 0 < len(people) <= PEOPLE_NAMED:
        return joined(people)
    return joined(map(person, request.deciders))


def _buttons(request: Request, status: Status) -> list[Button]:
    value = f"{request.id} {request.digest[:PREFIX_LENGTH]}"
    if status is Status.RUNNING and request.stop_asked is None:
        confirm = f"Stop {request.id}? What runs is cancelled; files that are applied stay on {request.target}."
        return [Button("stop", "Stop the run", f"stop {value}", "danger", confirm)]
    if status is Status.PARTIALLY_APPLIED or request.settlement is not None:
        return _ways_on(request, value)
    if status is not Status.WAITING or not request.needed:
        return watch_buttons(request, status)
    buttons = []
    if request.shown is not None and request.missing:
        confirm = _question(request)
        buttons.append(
            Button("approve", f"Approve for {request.environment}"[:60], f"approve {value}", "primary", confirm)
        )
    buttons.append(Button("reject", "Reject…", f"reject {value}", "danger"))
    confirm = f"Take {request.id} back? Nothing will be run."
    buttons.append(Button("cancel", "Cancel request", f"cancel {value}", None, confirm))
    return buttons


def _ways_on(request: Request, value: str) -> list[Button]:
    """What can be asked for when a run ended half-way: each is a request of its own, with its own approvals."""
    buttons = []
    if is_left(request) and request.kind in {PUSH, "resume"}:
        confirm = f"Ask to run what is left of {request.id}? It is a request of its own, to be approved like any other."
        buttons.append(Button("resume", "Resume: run what is left", f"resume {value}", None, confirm))
    if has_broken(request):
        confirm = f"Ask to remove what {request.id} left broken, such as an INVALID index? It is a request of its own."
        buttons.append(Button("clean", "Clean up what is broken", f"clean {value}", None, confirm))
    if request.applied and request.kind in {PUSH, "resume"}:
        buttons.append(Button("rollback", "Rollback: see the ways back", f"rollback {value}", None, None))
    return buttons


def _question(request: Request) -> str:
    """What is asked before a yes counts. It names what a yes accepts before the words of others, which may be cut."""
    if is_adoption(request):
        return adoption_question(request)
    if is_stated(request):
        return stated_question(request)
    plan = f"Run {migrations(len(request.files))} on {request.target}? Plan {request.digest[:PREFIX_LENGTH]}."
    plan += " It failed on a copy." if has_failed(request) else ""
    if not request.hazards:
        return f"{plan} No hazards."
    first = str(ranked_hazards(request.hazards)[0]["class"])
    classes = sorted(request.classes, key=lambda name: name != first)
    accepts = f" Approving accepts: {', '.join(classes)}." if classes else ""
    letters = max(LEAST_HAZARD_LETTERS, CONFIRM_LETTERS - len(plan) - len(accepts))
    return f"{plan}{accepts} Worst hazard, {worst_hazard(request.hazards, letters)}."
