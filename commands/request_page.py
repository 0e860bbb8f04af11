"""The page of a request in each of its states: what people read before they decide, while it runs and afterwards."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from commands.adoption_parts import adoption_parts
from commands.adoption_parts import adoption_question
from commands.adoption_parts import is_adoption
from commands.afterwards_parts import since_fact
from commands.afterwards_parts import since_next
from commands.afterwards_parts import since_words
from commands.carried_parts import carried_parts
from commands.carried_parts import queue_facts
from commands.changes_parts import CHANGES_SHOWN
from commands.emergency_parts import owed_facts
from commands.emergency_parts import owed_next
from commands.factor_parts import too_few_facts
from commands.function_parts import functions_done_text
from commands.function_parts import functions_part
from commands.kind_parts import does_part
from commands.kind_parts import done_word
from commands.kind_parts import files_text
from commands.kind_parts import is_stated
from commands.kind_parts import noun_of
from commands.kind_parts import stated_hazards
from commands.kind_parts import stated_parts
from commands.kind_parts import stated_question
from commands.kind_parts import title_of
from commands.left_parts import is_all_applied
from commands.left_parts import nothing_words
from commands.next_parts import next_line
from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Part
from commands.page import Span
from commands.page import Tone
from commands.page_words import joined
from commands.partial_parts import has_broken
from commands.partial_parts import may_resume
from commands.partial_parts import may_roll_back
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
from commands.request_parts import Facts
from commands.request_parts import LastBackup
from commands.request_parts import all_facts_of
from commands.request_parts import ending_parts
from commands.request_parts import facts_of
from commands.request_parts import lock_wait_of
from commands.request_parts import steps_part
from commands.request_parts import was_stopped
from commands.watch_parts import after_words
from commands.watch_parts import is_worse
from commands.watch_parts import watch_buttons
from commands.watch_parts import watch_parts
from commands.when_parts import claims_facts
from commands.when_parts import ends_with_lock
from commands.when_parts import too_late
from commands.when_parts import waits_facts
from commands.when_parts import waits_next
from commands.when_parts import waits_words
from ops.afterwards import NOTHING_SINCE
from ops.afterwards import Afterwards
from ops.approving import PREFIX_LENGTH
from ops.claiming import Claim
from ops.confirming import asks_more
from ops.debts import Debt
from ops.gates import NOTHING_WAITS
from ops.gates import Verdict
from ops.locking import Lock
from ops.requests import Request
from ops.status import Status
from ops.supabase.function_log import planned_functions

CONFIRM_LETTERS = 250
LEAST_HAZARD_LETTERS = 20
"""Of the 300 letters of a question that Slack takes, without the words around the worst hazard's sentence."""


def request_page(
    request: Request,
    now: datetime,
    last_backup: LastBackup | Literal["unasked"] | None = "unasked",
    lock: Lock | None = None,
    since: Afterwards = NOTHING_SINCE,
    waits: Verdict = NOTHING_WAITS,
    claims: Sequence[Claim] = (),
    ahead: Sequence[str] = (),
    *,
    whole: bool = False,
    owed: Debt | None = None,
    without_factor: Sequence[str] = (),
) -> Page:
    """A request as it stands: the root of its thread. `last_backup` None: the log knows none. `lock`: of its target.
    `since`: what later requests made of it. `waits`: what the gates of time say. `claims`: who looks at it.
    `ahead`: the requests before it in the queue of its target. `whole`: everything about it, and nothing to decide.
    `owed`: the review that others owe of it. `without_factor`: who lacks one, where it waits in vain for that."""
    status = request.status_at(now)
    held = lock if status is Status.WAITING else None
    waits, claims = (waits, claims) if status is Status.WAITING else (NOTHING_WAITS, ())
    if since.last is not None:
        following = since_next(request, since)
    elif waits.closed and not request.waits_for_people and not ends_with_lock(request, waits):
        following = waits_next(request, waits)
    else:
        following = after_words(request, now) if status is Status.SUCCEEDED else next_line(request, status, held)
        late = too_late(request, waits)
        following = (*late, " ", *following) if late else following
    if owed is not None and status is not Status.RUNNING:
        is_all = status is Status.SUCCEEDED and since.last is None and not is_worse(request)
        following = (*owed_next(owed), ".") if is_all else (*owed_next(owed), "; ", *following)
    facts_about = all_facts_of if whole else facts_of
    facts = facts_about(request, status, last_backup, held, since_facts(request, status, since))
    facts += queue_facts(request, ahead if status is Status.WAITING else ())
    return Page(
        headline=_headline(request, status, held, since, waits, now),
        facts=[
            *owed_facts(owed, now),
            *too_few_facts(without_factor if status is Status.WAITING else ()),
            *waits_facts(request, waits),
            *claims_facts(claims, now),
            *facts,
        ],
        body=whole_body(request, status, since) if whole else _body(request, status, since),
        next=following,
        buttons=_buttons(request, status) if since.last is None and not whole else [],
        small=() if whole else _small(request, status),
        tone=_tone(request, status, held) if since.last is None else "plain",
    )


def since_facts(request: Request, status: Status, since: Afterwards) -> Facts:
    """What a later request made of it, and how it ended itself."""
    return since_fact(since, state_words(request, status))


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


def _body(request: Request, status: Status, since: Afterwards) -> list[Part]:
    """Before the run, what would run; from its start on, how it goes. What went wrong comes first."""
    steps = steps_part(request) if request.steps else []
    if status is not Status.WAITING:
        ending = ending_parts(request, status, is_last=since.last is None)
        return [*watch_parts(request), *ending, *does_part(request), *steps]
    everything: Line = (Code(f"countersign show {request.id}"), " lists all")
    if is_adoption(request):
        return [*adoption_parts(request), *steps]
    if is_stated(request):
        return [*stated_parts(request), *stated_hazards(request, HAZARDS_SHOWN, everything), *steps]
    in_thread = request.shown is not None and request.shown["how"] == "file"
    named_only = [{"filename": one["filename"]} for one in request.files]
    hazards = hazards_part(request.hazards, HAZARDS_SHOWN, everything)
    rehearsed = rehearsed_parts(request, CARD)
    return [
        *carried_parts(request),
        *([*rehearsed, *hazards] if has_failed(request) else [*hazards, *rehearsed]),
        *changed_parts(
            request, CHANGES_SHOWN, ("the whole diff is in the thread's file",) if in_thread else everything
        ),
        *files_part(
            named_only if in_thread or request.shown is None else request.files,
            FILES_SHOWN,
            ("all are in the thread's file",) if in_thread else everything,
        ),
        *functions_part(planned_functions(request.plan), FILES_SHOWN, everything),
        *steps,
    ]


def whole_body(request: Request, status: Status, since: Afterwards = NOTHING_SINCE) -> list[Part]:
    """Everything about a request: how it went, all hazards, all files with their hashes."""
    ending = ending_parts(request, status, is_last=since.last is None)
    went = [*watch_parts(request), *ending, *(steps_part(request) if request.steps else [])]
    if is_adoption(request):
        return [*went, *adoption_parts(request, None)]
    if is_stated(request):
        sentences = stated_parts(request, None)
        functions = functions_part(planned_functions(request.plan), None, ())
        return [*went, *sentences, *stated_hazards(request, None, ()), *_scripts_part(request), *functions]
    return [
        *went,
        *carried_parts(request, None),
        *hazards_part(request.hazards, None, ()),
        *rehearsed_parts(request, WHOLE),
        *changed_parts(request, None, (Code(f"countersign show {request.id} --json"), " lists all")),
        *files_part(request.files, None, ()),
        *functions_part(planned_functions(request.plan), None, ()),
    ]


def _scripts_part(request: Request) -> list[Part]:
    """The scripts of another kind than push, each with its hash."""
    return files_part(request.files, None, (), noun_of(request))


_HEADLINES = {
    Status.WAITING: "waiting for approval",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "done",
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


def _headline(
    request: Request, status: Status, lock: Lock | None, since: Afterwards, waits: Verdict, now: datetime
) -> str:
    words = state_words(request, status, since)
    if not request.waits_for_people and (lock or waits.closed):
        held = waits_words(request, waits, now) if waits.closed else "waits for a lock to end"
        words = f"{_agreed(request)}, {held}" if request.needed else held
    words += ", failed on a copy" if status is Status.WAITING and has_failed(request) else ""
    return f"{request.id} · {title_of(request)}{request.target}: {words}"


def _agreed(request: Request) -> str:
    return "approved" if request.override is None else "approvals overridden"


def state_words(request: Request, status: Status, since: Afterwards = NOTHING_SINCE) -> str:
    """How a request stands, in the words of its card's first line. `since`: what later requests made of it."""
    if since.last is not None:
        return since_words(since)
    if request.settlement is not None:
        return "interrupted, and settled by a person"
    if status is Status.WAITING and not request.waits_for_people:
        return "starting" if not request.needed else f"{_agreed(request)}, starts when it can"
    if status is Status.RUNNING:
        return _running_words(request)
    if status is Status.SUCCEEDED and is_worse(request):
        return "done, and worse than before"
    if is_all_applied(request, status):
        return "all applied, but not ended well"
    if status is Status.FAILED:
        return f"{'stopped' if was_stopped(request) else 'failed'}, {nothing_words(request)}"
    return _partly_words(request) if status is Status.PARTIALLY_APPLIED else _HEADLINES[status]


def half_line(request: Request) -> Line:
    """That a request left its target half-way, and what can be asked for; for lists of targets."""
    ways: list[Span] = [Command(f"resume {request.id}")] if may_resume(request) else []
    ways += [Command(f"rollback {request.id}")] if may_roll_back(request) else []
    ways = ways or [Command(f"show {request.id}")]
    return (Code(request.id), f" {state_words(request, request.status)}; ", *joined(ways, " or "))


def _partly_words(request: Request) -> str:
    """Whether a person ended it or an error did, and how much of it is on the target."""
    ended = "stopped" if was_stopped(request) else "failed half-way"
    part = " and part of one more" if request.ending.get("within") else ""
    if not request.files:
        return f"{ended}{functions_done_text(request)}"
    return f"{ended}, {len(request.applied)} of {len(request.files)} {done_word(request)}{part}{functions_done_text(request)}"


def _running_words(request: Request) -> str:
    """`running, migration 2 of 3`: which step, and how far it is."""
    doing = next((step.name for step in request.steps if step.outcome == "running"), "")
    if request.stop_asked is not None:
        return "running, told to stop"
    if lock_wait_of(request):
        return "running, waiting for a lock"
    if doing == "migrate":
        return (
            f"running, {noun_of(request)} {min(len(request.applied) + 1, len(request.files))} of {len(request.files)}"
        )
    return f"running, {doing}" if doing else "running"


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
    if request.shown is not None and request.waits_for_people:
        question = None if asks_more(request) else question_of(request)  # a form that opens then has it
        label = f"Approve for {request.environment}"[:60]
        buttons.append(Button("approve", label, f"approve {value}", "primary", question))
    buttons.append(Button("reject", "Reject…", f"reject {value}", "danger"))
    confirm = f"Take {request.id} back? Nothing will be run."
    buttons.append(Button("cancel", "Cancel request", f"cancel {value}", None, confirm))
    return buttons


def _ways_on(request: Request, value: str) -> list[Button]:
    """What can be asked for when a run ended half-way: each is a request of its own, with its own approvals."""
    buttons = []
    if may_resume(request):
        confirm = f"Ask to run what is left of {request.id}? It is a request of its own, to be approved like any other."
        buttons.append(Button("resume", "Resume: run what is left", f"resume {value}", None, confirm))
    if has_broken(request):
        confirm = f"Ask to remove what {request.id} left broken, such as an INVALID index? It is a request of its own."
        buttons.append(Button("clean", "Clean up what is broken", f"clean {value}", None, confirm))
    if may_roll_back(request):
        buttons.append(Button("rollback", "Rollback: see the ways back", f"rollback {value}", None, None))
    return buttons


def question_of(request: Request) -> str:
    """What is asked before a yes counts. It names what a yes accepts before the words of others, which may be cut."""
    if is_adoption(request):
        return adoption_question(request)
    if is_stated(request):
        return stated_question(request)
    plan = f"Run {files_text(request)} on {request.target}? Plan {request.digest[:PREFIX_LENGTH]}."
    plan += " It failed on a copy." if has_failed(request) else ""
    if not request.hazards:
        return f"{plan} No hazards."
    first = str(ranked_hazards(request.hazards)[0]["class"])
    classes = sorted(request.classes, key=lambda name: name != first)
    accepts = f" Approving accepts: {', '.join(classes)}." if classes else ""
    letters = max(LEAST_HAZARD_LETTERS, CONFIRM_LETTERS - len(plan) - len(accepts))
    return f"{plan}{accepts} Worst hazard, {worst_hazard(request.hazards, letters)}."
