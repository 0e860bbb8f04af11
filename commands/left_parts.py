"""What a run left on its target, in one sentence by its kind: the first thing to know of one that ended."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from commands.adoption_parts import is_adoption
from commands.function_parts import functions_done_text
from commands.kind_parts import files_text
from commands.page import Code
from commands.page import Line
from commands.page_words import migrations
from commands.page_words import plural
from commands.partial_parts import filename_of
from ops.afterwards import slugs_left
from ops.errors import Reason
from ops.requests import Request
from ops.scripts import removed_by
from ops.status import Status
from ops.supabase.function_log import planned_functions

VERSIONS_NAMED = 5


def on_target(request: Request, status: Status) -> tuple[str, Line]:
    """The fact about the target of a run that is over."""
    count = len(request.applied)
    name = f"On {request.target} now"
    if is_adoption(request):
        return name, ("what was there before: an adoption changes nothing",)
    match status:
        case Status.SUCCEEDED:
            return name, (_DONE[request.kind](request),)
        case Status.FAILED:
            return name, (_failed_words(request),)
        case Status.PARTIALLY_APPLIED if is_all_applied(request, status):
            return name, (_DONE[request.kind](request),)
        case Status.PARTIALLY_APPLIED:
            within = request.ending.get("within")
            part: Line = (", and part of ", Code(filename_of(request, within))) if within else ()
            return name, (f"{count} of {files_text(request, len(request.files))}", *part, functions_done_text(request))
        case _ if request.settlement is not None:
            return name, (
                f"{_settled_words(len(request.settlement.versions), len(request.files))}, by its own history",
            )
        case _:
            return name, (_doubtful_words(request, count),)


def is_all_applied(request: Request, status: Status) -> bool:
    """Whether a run that did not succeed has everything on the target: a check failed afterwards."""
    is_half = request.ending.get("not_applied") or slugs_left(request)
    return status is Status.PARTIALLY_APPLIED and not is_half


def nothing_words(request: Request) -> str:
    """What stands behind `failed` or `stopped` in the first line of a card, where the run left nothing."""
    if request.kind == "resume":
        return f"all is as {request.of} left it"
    return "the session was not seen to end" if request.kind == "terminate" else "nothing of it remains"


def _failed_words(request: Request) -> str:
    if request.kind == "resume":
        return f"what {request.of} left there, as before this run"
    if request.kind == "terminate":
        return f"the session with pid {request.plan['facts']['pid']}, as far as is known"
    return "as before the run, nothing of this plan"


def _pushed(request: Request) -> str:
    is_named = request.files or planned_functions(request.plan)
    return f"all of this plan, {files_text(request)}" if is_named else "all of this plan"


def _undone(request: Request) -> str:
    gone = removed_by(request, [str(one["version"]) for one in request.files])
    rows = f"; {_named(gone)} {'is' if len(gone) == 1 else 'are'} out of the history" if gone else ""
    return f"nothing of {request.of} any more{rows}"


def _restored(request: Request) -> str:
    facts = _facts(request)
    if facts["way"] != "restore":
        return _undone(request)
    return f"what the backup {facts['backup']['id']} holds; the platform's own schemas and roles as they were"


def _repaired(request: Request) -> str:
    said = "is applied" if _facts(request)["as"] == "applied" else "is not applied"
    return f"what was there before; its history says now that {_named(_versions(request))} {said}"


def _recorded(request: Request) -> str:
    facts = _facts(request)
    by_hand = f"{_named(_versions(request))}, run by hand by {facts['by']}: {facts['because']}"
    return f"what was there before; its history has {by_hand}"


def _cleaned(request: Request) -> str:
    indexes, partitions = (len(_facts(request).get(name, ())) for name in ("indexes", "partitions"))
    less = [f"{indexes} INVALID index{'' if indexes == 1 else 'es'} less"] if indexes else []
    return ", ".join([*less, *([f"{plural(partitions, 'partition')} detached"] if partitions else [])])


def _ended(request: Request) -> str:
    said = next((str(step.detail.get("said", "")) for step in request.steps if step.name == "terminate"), "")
    return f"of the session with pid {_facts(request)['pid']}: {said or 'it is ended'}"


def _secret(request: Request) -> str:
    said = next((str(step.detail.get("said", "")) for step in request.steps if step.name == "secrets"), "")
    return f"what was there before, but {said or 'the secret as it was asked for'}"


_DONE: Mapping[str, Callable[[Request], str]] = {
    "push": _pushed,
    "resume": lambda one: f"all of {one.of}, with what was left of it",
    "rollback": _undone,
    "restore": _restored,
    "cleanup": _cleaned,
    "repair": _repaired,
    "record": _recorded,
    "terminate": _ended,
    "secrets": _secret,
    "functions": lambda one: f"the function {_facts(one)['function']}, deployed; the database as before",
    "restore_managed": lambda one: f"what was there at {_facts(one)['moment'][:19]} UTC",
    "reset": lambda _: "nothing of the project, ready to be pushed to",
}


def _facts(request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.plan["facts"]
    return found


def _versions(request: Request) -> list[str]:
    return [str(one["version"]) for one in request.files]


def _named(versions: list[str]) -> str:
    more = f" and {len(versions) - VERSIONS_NAMED} more" if len(versions) > VERSIONS_NAMED else ""
    return f"{', '.join(versions[:VERSIONS_NAMED])}{more}"


def _settled_words(count: int, of_all: int) -> str:
    if not count:
        return "nothing of this plan"
    return f"all of this plan, {migrations(count)}" if count == of_all else f"{count} of {migrations(of_all)}"


def _doubtful_words(request: Request, count: int) -> str:
    """What is certain, and how much nobody knows."""
    unknown = len(request.ending.get("unknown") or ())
    certain = f"{count} of {files_text(request, len(request.files))}"
    if request.ending.get("reason") == Reason.RUNNER_DIED:
        return certain  # why its runner dies is what nobody knows
    if not unknown:
        return f"not known; at least {certain}" if count else "not known"
    if not count:
        return f"not known: {files_text(request, unknown)} may or may not be there"
    return f"{certain}; {unknown} more may or may not be there"
