"""The pages of a plan and of a request in each of its states: what people read before and after they decide."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Literal

from commands.page import Button
from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import When
from commands.page import Who
from ops.approving import PREFIX_LENGTH
from ops.blockers import Blocker
from ops.plan import Plan
from ops.requests import Request
from ops.requests import Step
from ops.status import Status
from ops.steps import STEPS

FILES_SHOWN = 10
HAZARDS_SHOWN = 8
LINES_SHOWN = 20


@dataclass(frozen=True)
class LastBackup:
    """The newest proven backup of a target."""

    at: datetime
    proof: Mapping[str, Any]


def plan_page(plan: Plan) -> Page:
    """What would run on a target, its hazards, and what stands in the way."""
    count = len(plan.pending)
    blocked = plan.blocks()
    headline = (
        f"Plan for {plan.target.name}: {migrations(count)} pending" if count else f"{plan.target.name}: nothing to do"
    )
    body: list[Part] = []
    if blocked is not None:
        body.append(Paragraph(("A push would be refused. ", blocked.message)))
        if blocked.hint:
            body.append(Paragraph(("To mend it: ", blocked.hint)))
    body += files_part([{"filename": one.filename, "sha256": one.sha256} for one in plan.pending])
    body += _hazards_part([hazard.to_json() for hazard in plan.hazards])
    body += _problems_part(plan)
    notes = [f"{one.filename}: {note}" for one in plan.pending for note in one.notes]
    notes += [f"{name} is skipped: {why}" for name, why in plan.skipped.items()]
    if notes:
        body.append(Listing("Worth knowing", [(note,) for note in notes[:HAZARDS_SHOWN]]))
    if count:
        body.append(Source("SQL", plan.sql_preview(LINES_SHOWN)))
    facts: list[tuple[str, Line]] = [
        ("Commit", (Code(plan.commit.sha[:12]), f" on {plan.target.settings.branch}: {plan.commit.title}")),
        ("Already applied", (f"{plan.applied} migration{_s(plan.applied)}",)),
        ("Plan", (Code(plan.digest[:PREFIX_LENGTH]),)),
    ]
    following: Line = ("ask for it with ", Code(f"push {plan.target.environment}")) if count and not blocked else ()
    return Page(headline, facts, body, following)


def request_page(
    request: Request, now: datetime, last_backup: LastBackup | Literal["unasked"] | None = "unasked"
) -> Page:
    """A request as it stands: the root of its thread, and what `show` prints. `last_backup` None: the log knows none."""
    status = request.status_at(now)
    body: list[Part] = []
    if status in {Status.WAITING, Status.RUNNING}:
        body += files_part(request.files)
        body += _hazards_part(request.hazards)
    if request.steps:
        body.append(_steps_part(request))
    body += _ending_part(request, status)
    return Page(
        headline=_headline(request, status),
        facts=_facts(request, status, last_backup),
        body=body,
        next=_next(request, status),
        buttons=_buttons(request, status),
        small=("plan ", Code(request.digest[:PREFIX_LENGTH]), " · ", Code(f"show {request.id}"), " for everything"),
    )


_HEADLINES = {
    Status.WAITING: "waiting for approval",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "done",
    Status.FAILED: "failed, nothing of it remains",
    Status.PARTIALLY_APPLIED: "stopped half-way",
    Status.INTERRUPTED: "interrupted, a person must decide",
    Status.REJECTED: "rejected, nothing was run",
    Status.CANCELLED: "cancelled, nothing was run",
    Status.EXPIRED: "expired, nothing was run",
    Status.SUPERSEDED: "no longer holds, nothing was run",
}


def _headline(request: Request, status: Status) -> str:
    words = _HEADLINES[status]
    if status is Status.WAITING and not request.needed:
        words = "starting"
    if _is_all_applied(request, status):
        words = "all applied, but not ended well"
    if request.settlement is not None:
        words = "interrupted, and settled by a person"
    return f"{request.id} · {request.target} · {migrations(len(request.files))}: {words}"


def _is_all_applied(request: Request, status: Status) -> bool:
    """Whether a run that did not succeed has everything on the target: a check failed afterwards."""
    return status is Status.PARTIALLY_APPLIED and not request.ending.get("not_applied")


def _facts(
    request: Request, status: Status, last_backup: LastBackup | Literal["unasked"] | None
) -> list[tuple[str, Line]]:
    facts: list[tuple[str, Line]] = [
        ("Requested by", (Who(request.by.id), " ", When(request.requested_at))),
        ("Commit", (Code(request.commit[:12]),)),
    ]
    if request.needed:
        facts.append(("Approvals", _approvals(request)))
    if status is Status.WAITING:
        if request.needed:
            facts.append(("Expires", (When(request.expires_at),)))
            facts.append(
                (
                    "May approve",
                    (", ".join(request.plan["policy"]["approvers"]), ", not the requester or a known author"),
                )
            )
        if last_backup != "unasked":
            facts.append(("Last backup", _backup_line(last_backup, request)))
        if request.unknown_authors:
            facts.append(("Authors not in [people], who could approve", (", ".join(request.unknown_authors),)))
    if request.proof is not None:
        facts.append(("Backup", proof_line(request.proof)))
    if request.ended_at and request.started_at:
        facts.append(("Took", (seconds_text((request.ended_at - request.started_at).total_seconds()),)))
    return facts


def _approvals(request: Request) -> Line:
    line: list[Any] = [f"{request.needed - request.missing} of {request.needed}"]
    for approval in request.approvals:
        line += [" · ", Who(approval.by.id), " ", When(approval.at)]
        line += [] if approval.stands else [" (no longer counts)"]
    return tuple(line)


def _backup_line(last: LastBackup | None, request: Request) -> Line:
    level = request.plan["policy"]["backup"]
    coming = (
        "; none will be taken: the policy says so" if level == "none" else f"; a new one is taken and {level} first"
    )
    if last is None:
        return (f"none known{coming}",)
    return (When(last.at), f", {last.proof['level']}", coming)


def proof_line(proof: Mapping[str, Any]) -> Line:
    """A backup's proof in one line: how far it is proven, size, time, hash."""
    return (
        f"{proof['level']} and proven: {size_text(proof['bytes'])}, {proof['tables']} tables, {proof['rows']} rows, "
        f"{seconds_text(proof['seconds'])}, sha256 ",
        Code(str(proof["sha256"])[:16]),
    )


def files_part(files: Sequence[Mapping[str, Any]]) -> list[Part]:
    if not files:
        return []
    lines: list[Line] = [(Code(str(one["filename"])), f"  {str(one['sha256'])[:12]}") for one in files[:FILES_SHOWN]]
    if len(files) > FILES_SHOWN:
        lines.append((f"and {len(files) - FILES_SHOWN} more, all in the thread's file",))
    return [Listing(f"{migrations(len(files)).capitalize()}, in this order", lines)]


def _hazards_part(hazards: Sequence[Mapping[str, Any]]) -> list[Part]:
    order = {"forbidden": 0, "danger": 1, "caution": 2, "info": 3}
    ranked = sorted(hazards, key=lambda one: order.get(str(one["level"]), 0))
    if not ranked:
        return []
    lines: list[Line] = [
        (f"{one['message']} (", Code(f"{one['version']}:{one['line']}"), ", ", Code(str(one["rule"])), ")")
        for one in ranked[:HAZARDS_SHOWN]
    ]
    marks = [str(one["level"]) for one in ranked[:HAZARDS_SHOWN]]
    if len(ranked) > HAZARDS_SHOWN:
        lines.append((f"and {len(ranked) - HAZARDS_SHOWN} more",))
        marks.append("more")
    return [Listing(f"{len(ranked)} hazard{_s(len(ranked))}", lines, marks)]


def _problems_part(plan: Plan) -> list[Part]:
    lines: list[Line] = [(problem.message,) for problem in plan.problems[:HAZARDS_SHOWN]]
    return [Listing("History and files differ", lines)] if lines else []


def _steps_part(request: Request) -> Listing:
    known = {step.name: step for step in request.steps}
    lines: list[Line] = []
    marks = []
    for name in STEPS:
        step = known.get(name)
        marks.append(_step_mark(step, request))
        lines.append((name, *_step_words(step, request)))
    return Listing("Steps", lines, marks)


def _step_mark(step: Step | None, request: Request) -> str:
    if step is None:
        return "not run" if request.is_over else "to come"
    return "broken off" if request.is_over and step.outcome == "running" else step.outcome


def _step_words(step: Step | None, request: Request) -> tuple[str, ...]:
    if step is None:
        return ()
    words = []
    if step.name == "migrate":
        words.append(f"{len(request.applied)} of {len(request.files)} migrations applied")
    if step.detail.get("said"):
        words.append(str(step.detail["said"]))
    if step.detail.get("waits") and step.outcome == "running" and not request.is_over:
        words.append(f"waits for a lock; in the way: {_blockers_text(step.detail['waits'])}")
    if step.seconds is not None:
        words.append(seconds_text(step.seconds))
    return (": " + ", ".join(words),) if words else ()


def _blockers_text(wait: Mapping[str, Any]) -> str:
    return "; ".join(str(Blocker(**one)) for one in wait["blockers"]) or "nobody that could be seen"


def _ending_part(request: Request, status: Status) -> list[Part]:
    ending = request.ending
    parts: list[Part] = []
    failed = next((step for step in request.steps if step.outcome == "failed"), None)
    if ending.get("message"):
        parts.append(Paragraph((str(ending["message"]),)))
    if ending.get("because"):
        who: Line = (Who(request.ended_by.id), ": ") if request.ended_by else ()
        parts.append(Paragraph((*who, str(ending["because"]))))
    if failed is not None and failed.detail.get("sql", {}).get("caret"):
        parts.append(Source("Where", str(failed.detail["sql"]["caret"])))
    if failed is not None and failed.detail.get("hint"):
        parts.append(Paragraph(("Hint: ", str(failed.detail["hint"]))))
    if status in {Status.PARTIALLY_APPLIED, Status.INTERRUPTED}:
        for title, key in _WHERE:
            if ending.get(key):
                parts.append(Listing(title, [(Code(one),) for one in ending[key]]))
    if (settled := request.settlement) is not None:
        line: Line = ("Settled by ", Who(settled.by.id), " ", When(settled.at), f": {settled.because}")
        parts.append(Paragraph(line))
        there = ", ".join(settled.versions) or "none of this plan"
        parts.append(Paragraph(("In the target's history then: ", there)))
    return parts


_WHERE = (("On the target", "applied"), ("Not on the target", "not_applied"), ("Unknown", "unknown"))


def _next(request: Request, status: Status) -> Line:
    again = f"push {request.environment}"
    match status:
        case Status.WAITING if request.needed and request.shown is None:
            return ("the full SQL goes into the thread; then the Approve button appears.",)
        case Status.WAITING if request.missing:
            people = ", ".join(request.plan["policy"]["approvers"])
            more = "more " if request.approvals else ""
            needed = f"{request.missing} {more}approval{_s(request.missing)}"
            return (f"{needed} by {people}, or a rejection; ", Who(request.by.id), " can cancel.")
        case Status.WAITING:
            return ("it starts as soon as the target is free.",)
        case Status.RUNNING:
            return ("nothing to do; this card follows the run.",)
        case Status.SUCCEEDED:
            return ("nothing to do. ", Code(f"show {request.id}"), " tells what ran.")
        case Status.FAILED | Status.REJECTED:
            return ("when that is mended, ask again with ", Code(again), ".")
        case Status.CANCELLED | Status.EXPIRED | Status.SUPERSEDED:
            return ("to run it after all, ask again with ", Code(again), ".")
        case Status.PARTIALLY_APPLIED if _is_all_applied(request, status):
            return ("look at the application, and mend it with a new migration; ", Code(again), " runs it.")
        case Status.PARTIALLY_APPLIED:
            return ("mend what failed in a new commit, then ", Code(again), " runs what is left.")
        case Status.INTERRUPTED if request.settlement is not None:
            return ("settled, the target is free; ask again with ", Code(again), ".")
        case Status.INTERRUPTED:
            return (
                "look at the target; when it is clear what happened, ",
                Code(f"cancel {request.id} <what you found>"),
                " frees it.",
            )


def _buttons(request: Request, status: Status) -> list[Button]:
    if status is not Status.WAITING or not request.needed:
        return []
    value = f"{request.id} {request.digest[:PREFIX_LENGTH]}"
    count = migrations(len(request.files))
    buttons = []
    if request.shown is not None and request.missing:
        confirm = f"Run {count} on {request.target}? Plan {request.digest[:PREFIX_LENGTH]}."
        buttons.append(
            Button("approve", f"Approve for {request.environment}"[:60], f"approve {value}", "primary", confirm)
        )
    buttons.append(Button("reject", "Reject…", f"reject {value}", "danger"))
    confirm = f"Take {request.id} back? Nothing will be run."
    buttons.append(Button("cancel", "Cancel request", f"cancel {value}", None, confirm))
    return buttons


def size_text(size: int) -> str:
    """A number of bytes for people."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def seconds_text(seconds: float) -> str:
    """A duration for people: `0.4 s`, `38 s`, `1 min 52 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(int(whole.total_seconds()), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def migrations(count: int) -> str:
    return f"{count} migration{_s(count)}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
