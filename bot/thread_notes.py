"""The thread below a card: one note for each thing that people want to find again."""

from datetime import datetime

from audit import Event
from commands.adoption_parts import is_adoption
from commands.backup_parts import note_parts
from commands.carried_parts import carried_line
from commands.emergency_parts import overridden_page
from commands.emergency_parts import reviewed_page
from commands.function_parts import work_text
from commands.kind_parts import subject_on_target
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import When
from commands.page import Who
from commands.page_words import sentence_line
from commands.request_page import state_words
from commands.request_parts import TAKEN_BACK
from commands.request_parts import proof_line
from commands.watch_parts import worsened_note
from ops.requests import PUSH
from ops.requests import Request
from ops.supabase.function_log import planned_functions


def note_of(event: Event, request: Request) -> Page | None:
    """The note for an event of a request's stream, or None where the card says enough."""
    data = event.data or {}
    match event.kind:
        case "approved":
            accepted = ", ".join(data["facts"].get("accepts", ()))
            words = f" approved this plan and accepted {accepted}." if accepted else " approved this plan."
            return _short(f"Approved, {_counted(event, request)}", (Who(event.actor), words))
        case "approval_carried":
            line = carried_line((Who(data["approver"]),), data["from_request"], data["because"])
            return _short(f"An approval of {data['from_request']} counts here", line)
        case "overridden":
            return overridden_page(event, request)
        case "reviewed":
            return reviewed_page(event, request)
        case "rejected":
            return _short(f"{request.id} is rejected", (Who(event.actor), f": {data['because']}"))
        case "cancelled" | "expired" | "stop_asked":
            return _called_off(event, request)
        case "backup_proven":
            return _backup_note(data["proof"])
        case "adopted":
            return _short(f"{request.target} is adopted", ("What it has now is the baseline that people approved.",))
        case "watch_worsened":
            return worsened_note(request, data)
        case "succeeded" | "superseded" | "failed" | "partially_applied" | "interrupted":
            return _ended(event, request)
        case "recorded":
            line = (Who(event.actor), f" looked at {request.target}: {data['because']}")
            return _short(f"{request.id} is settled, and {request.target} is free", line)
        case _:
            return None


def _ended(event: Event, request: Request) -> Page | None:
    """The note for the end of a run, or of what can no longer be run."""
    data = event.data or {}
    match event.kind:
        case "succeeded" if is_adoption(request):
            return None
        case "succeeded":
            count = len(data["applied"])
            words = f"{subject_on_target(request)}: done."
            if request.kind == PUSH:
                functions = len(planned_functions(request.plan))
                verb = "is" if count + functions == 1 else "are"
                words = f"{work_text(count, functions)} {verb} on {request.target}."
            return _short(f"{request.id} is done", (words,))
        case "superseded" if data["by"] and data["changed"] == ["the plan"]:
            return _short(
                f"{request.id} no longer holds", (Who(event.actor), " asked for a newer plan: ", Code(data["by"]))
            )
        case "superseded":
            return _short(f"{request.id} no longer holds", sentence_line(str(data["message"])))
        case _:
            return _short(f"{request.id}: {state_words(request, request.status)}", sentence_line(str(data["message"])))


def _counted(event: Event, request: Request) -> str:
    """How many approvals there were with this one, of how many: as the card counted them then."""
    data = event.data or {}
    covered = {name for one in request.approvals if one.at <= event.at for name in one.covers}
    missing = [name for name, rule in request.class_rules.items() if rule["approvers"] and name not in covered]
    given = int(data["number"])
    if not missing:
        return f"{given} of {max(given, request.needed)}"
    return f"{given} of {max(given + 1, request.needed)}, {' and '.join(missing)} still missing"


def diff_note(request: Request, sha256: str) -> Page:
    """Where the schema's difference is when it may not be in Slack."""
    line: Line = ("sha256 ", Code(sha256), "; ", Code(f"countersign show {request.id} --json"), " has it.")
    return _short(f"What {request.id} changes in the schema", line)


def _called_off(event: Event, request: Request) -> Page:
    """The note for a request that somebody, or the clock, ended, or wants to end."""
    data = event.data or {}
    if event.kind == "expired":
        at = datetime.fromisoformat(data["expires_at"])
        return _short(f"{request.id} has expired, nothing was run", ("Its time was over ", When(at), "."))
    because = "" if data["because"] == TAKEN_BACK else str(data["because"])
    line: Line = (Who(event.actor), *_reason(because))
    if event.kind == "cancelled":
        return _short(f"{request.id} is cancelled, nothing was run", line)
    return _short(f"Stop asked of {request.id}", line)


def _reason(because: str) -> Line:
    """What somebody did and why, behind their name; with a full stop where no reason was given."""
    return (": ", *sentence_line(because)) if because else (".",)


def _short(headline: str, line: Line) -> Page:
    return Page(headline, body=[Paragraph(line)])


def _backup_note(proof: dict[str, object]) -> Page:
    """What was proven, and what no dump holds."""
    return Page("Backup proven before any statement", facts=[("Backup", proof_line(proof))], body=note_parts(proof))
