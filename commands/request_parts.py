"""The parts of a request's page: its facts in each state, its steps, and what its end says."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from typing import Literal

from commands.adoption_parts import adoption_facts
from commands.adoption_parts import is_adoption
from commands.carried_parts import carried_words
from commands.emergency_parts import emergency_facts
from commands.kind_parts import done_text
from commands.kind_parts import subject_of
from commands.left_parts import is_all_applied
from commands.left_parts import on_target
from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Span
from commands.page import When
from commands.page import Who
from commands.page_words import hint_line
from commands.page_words import joined
from commands.page_words import person
from commands.page_words import plural
from commands.page_words import seconds_text
from commands.page_words import sentence_line
from commands.partial_parts import half_parts
from commands.partial_parts import whereabouts
from commands.plan_page import class_needs
from commands.plan_page import hazards_text
from commands.plan_page import is_dangerous
from commands.when_parts import hotfix_facts
from ops.amounts import bytes_text
from ops.blockers import Blocker
from ops.locking import Lock
from ops.requests import Request
from ops.rules import has_more_rules
from ops.rules import more_yeses
from ops.run_steps import Step
from ops.status import Status
from ops.steps import steps_of

LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class LastBackup:
    """The newest proven backup of a target."""

    at: datetime
    proof: Mapping[str, Any]


TAKEN_BACK = "taken back"
"""What a cancelled request says where nobody gave a reason."""

REQUESTED_BY = "Requested by"

Facts = list[tuple[str, Line]]


def facts_of(
    request: Request,
    status: Status,
    last_backup: LastBackup | Literal["unasked"] | None,
    lock: Lock | None = None,
    since: Facts | None = None,
) -> Facts:
    """What matters in this state, the most important first. `lock`: what an approved request waits for, if anything.
    `since`: what a later request made of it (see `since_fact`), which then says more than what it left itself."""
    why = [*emergency_facts(request), *hotfix_facts(request)]
    match status:
        case Status.WAITING:
            asked: Line = (Who(request.by.id), " ", When(request.requested_at))
            commit: Line = (Code(request.commit[:12]),)
            more = _for_approvers(request, last_backup if "backup" in steps_of(request) else "unasked")
            worth_knowing = [*_dangers(request), *([("Locked", lock_line(lock))] if lock else [])]
            classes = _classes(request)
            about = adoption_facts(request) if is_adoption(request) else []
            asked_for = [*_approvals(request), *_rules(request), *classes, (REQUESTED_BY, asked), *more]
            return [*why, *worth_knowing, *about, *asked_for, *([("Commit", commit)] if request.commit else [])]
        case Status.RUNNING:
            return [*why, *_running(request), _people(request)]
        case Status.SUCCEEDED | Status.FAILED | Status.PARTIALLY_APPLIED | Status.INTERRUPTED:
            went = [*_took(request), *_attempts(request), *_proof(request), _people(request)]
            return [*why, *(since or ()), *_settled(request), *([] if since else [on_target(request, status)]), *went]
        case _:
            return [*_ended_at(request, status), ("Plan", (subject_of(request),)), _people(request)]


def _people(request: Request) -> tuple[str, Line]:
    """Who asked and who said yes, once that is no longer the question."""
    approved = joined(Who(approval.by.id) for approval in request.approvals if approval.stands)
    more: Line = (" · approved by ", *approved) if approved else ()
    return REQUESTED_BY, (Who(request.by.id), *more)


def all_facts_of(
    request: Request,
    status: Status,
    last_backup: LastBackup | Literal["unasked"] | None,
    lock: Lock | None = None,
    since: Facts | None = None,
) -> Facts:
    """The same, and who asked and approved, and what exactly, whatever the state."""
    facts = facts_of(request, status, last_backup, lock, since)
    if status is not Status.WAITING:
        facts = [(name, line) for name, line in facts if name != REQUESTED_BY]
    told = {name for name, _ in facts}
    asked: Line = (Who(request.by.id), " ", When(request.requested_at))
    more: Facts = [*_approvals(request), *_rules(request), (REQUESTED_BY, asked)]
    more += [("Commit", (Code(request.commit[:12]),))] if request.commit else []
    return [*facts, *(fact for fact in more if fact[0] not in told), ("Digest", (Code(request.digest),))]


def _dangers(request: Request) -> Facts:
    """How many hazards there are, before all else where one is a danger: the list of them stands further below."""
    return [("Hazards", (hazards_text(request.hazards),))] if is_dangerous(request.hazards) else []


def _approvals(request: Request) -> Facts:
    """Who said yes, and how many that are of those needed; nothing where nobody is asked."""
    if not request.needed:
        return []
    codes = ", each with a one-time code" * request.needs_code
    overridden = ", overridden" * (request.override is not None)
    line: list[Span] = [f"{request.given} of {request.given + request.missing}{codes}{overridden}"]
    for approval in request.approvals:
        line += [" · ", Who(approval.by.id), " ", When(approval.at), carried_words(approval)]
        line += [f", accepted {', '.join(approval.accepts)}"] if approval.accepts else []
        line += [] if approval.stands else [" (no longer counts)"]
    return [("Approvals", tuple(line))]


def _rules(request: Request) -> Facts:
    """Who fills a place of which rule, where there is more than the environment's own."""
    if not has_more_rules(request.rules):
        return []
    facts: Facts = []
    filled = request.filled
    for rule in filled.rules:
        missing = filled.missing(rule)
        words: list[Span] = [f"{rule.approvals - missing} of {rule.approvals}"]
        who = joined(map(person, filled.people(rule)))
        words += [": ", *who] if who else []
        words += [f"; {more_yeses(missing)}, of ", *joined(map(person, rule.approvers))] if missing else []
        facts.append((f"Rule {rule.name}", tuple(words)))
    return facts


def _classes(request: Request) -> Facts:
    """What a yes accepts by name, and what the rules ask for because of it."""
    if not request.needed or not request.classes:
        return []
    return [("A yes accepts", (", ".join(request.classes),)), *class_needs(request.class_rules, request.uncovered)]


def _for_approvers(request: Request, last_backup: LastBackup | Literal["unasked"] | None) -> Facts:
    facts: Facts = []
    if request.needed:
        facts.append(("Expires", (When(request.expires_at),)))
    if last_backup != "unasked":
        facts.append(("Last backup", _backup_line(last_backup, request)))
    if request.at_supabase:
        facts.append(("At Supabase", (f"{request.at_supabase}, as of ", When(request.requested_at))))
    known = [one for one in request.authors if one not in {request.by.id, request.by.user}]
    if known and request.needed:
        facts.append(("Written by", (*joined(map(Who, known)), ", who cannot approve it")))
    if request.behind and request.needed:
        facts.append(("Job started by", (*joined(map(Who, request.behind)), ", who cannot approve it")))
    if request.unknown_authors and request.needed:
        facts.append(_unknown_authors(request.unknown_authors))
    return facts


def _unknown_authors(names: Sequence[str]) -> tuple[str, Line]:
    """Who wrote it as the commits say: nobody knows whether one of them is asked to approve their own work."""
    one = len(names) == 1
    perhaps = "not in [people], so perhaps " + ("an approver" if one else "approvers")
    return f"Unknown author{'' if one else 's'}", (f"{', '.join(names)} ({perhaps})",)


def _backup_line(last: LastBackup | None, request: Request) -> Line:
    level = request.plan["policy"]["backup"]
    coming = (
        "; none will be taken, as the policy says" if level == "none" else f"; a new one is taken and {level} first"
    )
    if request.plan["policy"].get("restore_point") and request.files:
        coming += "; a restore point of Supabase is made right before"
    if last is None:
        return (f"none known{coming}",)
    return (When(last.at), f", {last.proof['level']}", coming)


def _running(request: Request) -> Facts:
    facts: Facts = []
    if (stop := request.stop_asked) is not None:
        why = f": {stop.because}" if stop.because else ""
        facts.append(("Stop asked by", (Who(stop.by.id), " ", When(stop.at), why)))
    if request.started_at is not None:
        facts.append(("Started", (When(request.started_at),)))
    if request.attempts > 1:
        facts.append(("Attempt", (f"{request.attempts}, taken up where it stood",)))
    return facts


def _settled(request: Request) -> Facts:
    """Who found out what became of an interrupted run."""
    found = request.settlement
    return [("Settled by", (Who(found.by.id), " ", When(found.at)))] if found is not None else []


def _took(request: Request) -> Facts:
    if request.ended_at is None or request.started_at is None:
        return []
    took = seconds_text((request.ended_at - request.started_at).total_seconds())
    return [("Took", (took, ", ended ", When(request.ended_at)))]


def _attempts(request: Request) -> Facts:
    """That a runner died on the way, which nothing else tells once the run is over."""
    if request.attempts < 2:
        return []
    died = "the first runner died" if request.attempts == 2 else f"{request.attempts - 1} runners died"
    return [("Attempts", (f"{request.attempts}; {died}, it was taken up where it stood",))]


def _proof(request: Request) -> Facts:
    return [("Backup", proof_line(request.proof))] if request.proof is not None else []


def _ended_at(request: Request, status: Status) -> Facts:
    if status is Status.EXPIRED:
        given = f"{request.given} of {plural(request.given + request.missing, 'approval')}"
        return [("Expired", (When(request.expires_at), f", with {given}"))]
    if request.ended_at is None:
        return []
    names = {Status.REJECTED: "Rejected", Status.CANCELLED: "Cancelled", Status.SUPERSEDED: "Ended"}
    who: Line = (Who(request.ended_by.id), " ") if request.ended_by and status is not Status.SUPERSEDED else ()
    return [(names[status], (*who, When(request.ended_at)))]


def proof_line(proof: Mapping[str, Any]) -> Line:
    """A backup's proof in one line: how far it is proven, size, time, hash."""
    return (
        f"{proof['level']} and proven: {bytes_text(proof['bytes'])}, {plural(proof['tables'], 'table')}, "
        f"{plural(proof['rows'], 'row')}, {seconds_text(proof['seconds'])}, sha256 ",
        Code(str(proof["sha256"])[:16]),
    )


def steps_part(request: Request) -> list[Part]:
    """Every step of the run with its state in a word, in the order in which they come."""
    known = {step.name: step for step in request.steps}
    names = steps_of(request)
    marks = [_step_mark(known.get(name), request) for name in names]
    lines: list[Line] = [(name, *_step_words(known.get(name), request)) for name in names]
    return [Listing("Steps", lines, marks)]


def _step_mark(step: Step | None, request: Request) -> str:
    if step is None:
        return "not run" if request.is_over else "to come"
    if step.outcome == "failed" and was_stopped(request):
        return "stopped"
    return "broken off" if request.is_over and step.outcome == "running" else step.outcome


def _step_words(step: Step | None, request: Request) -> Line:
    if step is None:
        return ()
    words: list[Span] = []
    is_running = step.outcome == "running" and not request.is_over
    if step.name == "migrate":
        words.append(done_text(request))
        if is_running and len(request.applied) < len(request.files):
            words.append(Code(str(request.files[len(request.applied)]["filename"])))
    if step.detail.get("said"):
        words.append(str(step.detail["said"]))
    if (wait := lock_wait_of(request)) is not None and is_running:
        words.append(f"waits for a lock; in the way: {_blockers_text(wait)}")
    if is_running and step.detail.get("progress"):
        words.append(str(step.detail["progress"]["said"]))
    if step.seconds is not None and step.seconds >= LEAST_SECONDS:
        words.append(seconds_text(step.seconds))
    return (": ", *joined(words)) if words else ()


def lock_wait_of(request: Request) -> Mapping[str, Any] | None:
    """What the running step waits for just now, as `lock_waited` told it; None when it does not wait."""
    if request.is_over:
        return None
    return next((step.detail["waits"] for step in request.steps if _is_waiting(step)), None)


def _is_waiting(step: Step) -> bool:
    return step.outcome == "running" and bool(step.detail.get("waits"))


def _blockers_text(wait: Mapping[str, Any]) -> str:
    return "; ".join(str(Blocker(**one)) for one in wait["blockers"]) or "nobody that could be seen"


def was_stopped(request: Request) -> bool:
    """Whether the run ended because somebody said stop."""
    return bool(request.ending.get("stopped_by"))


def ending_parts(request: Request, status: Status, *, is_last: bool = True) -> list[Part]:
    """What the end says: what a person found, why, where in the SQL, what to do, what is and is not on the target; not
    the last where a later request has changed that."""
    settled = request.settlement
    found: list[Part] = [Paragraph((Who(settled.by.id), f": {settled.because}"))] if settled is not None else []
    half = half_parts(request, status) if is_last else []
    where = [] if is_all_applied(request, status) or not is_last else whereabouts(request, status)
    return [*found, *_why(request, status), *_where_it_failed(request), *half, *where]


def _why(request: Request, status: Status) -> list[Part]:
    ending = request.ending
    if status is Status.SUPERSEDED:
        return [_what_changed(request)]
    if ending.get("because") == TAKEN_BACK:
        return []
    if ending.get("because"):
        who: Line = (Who(request.ended_by.id), ": ") if request.ended_by else ()
        return [Paragraph((*who, str(ending["because"])))]
    return [Paragraph(sentence_line(str(ending["message"])))] if ending.get("message") else []


def _what_changed(request: Request) -> Part:
    ending = request.ending
    if ending.get("by") and ending["changed"] != ["the plan"]:
        return Paragraph(sentence_line(str(ending["message"])))
    if ending.get("by"):
        return Paragraph((Who(request.by.id), " asked for a newer plan: ", Code(str(ending["by"])), "."))
    return Paragraph(("Since it was asked for, this changed: ", ", ".join(ending["changed"]), "."))


def _where_it_failed(request: Request) -> list[Part]:
    failed = next((step for step in request.steps if step.outcome == "failed"), None)
    if failed is None:
        return []
    parts: list[Part] = []
    sql = failed.detail.get("sql") or {}
    if sql.get("caret"):
        parts.append(Source("Where", str(sql["caret"])))
    hint = str(failed.detail.get("hint") or "")
    if hint and not was_stopped(request):
        # A hint of the database is its own words, in which nothing is read as ours.
        parts.append(Paragraph(("Hint: ", *((hint,) if sql else hint_line(hint)))))
    return parts


def lock_line(lock: Lock) -> Line:
    """Who locked a target, until when and why."""
    return ("by ", Who(lock.by.id), " until ", When(lock.until), f": {lock.because}" if lock.because else "")
