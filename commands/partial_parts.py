"""What people read of a run that ended half-way or in doubt: its statements one by one, and what to ask the target."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.function_parts import outcomes_parts
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page_words import joined
from commands.page_words import plural
from commands.page_words import shortened
from ops.afterwards import CAN_BE_RESUMED
from ops.afterwards import CAN_BE_UNDONE
from ops.afterwards import is_on_target
from ops.afterwards import slugs_left
from ops.afterwards import versions_left
from ops.asking_again import again_of
from ops.blockers import pid_text
from ops.requests import Request
from ops.status import Status

LEFT_SHOWN = 10
"""So many files that are, or are not, on the target are named one by one."""
STATEMENTS_SHOWN = 8
WORDS_SHOWN = 100

_MARKS = {
    "done": "ran",
    "rolled_back": "rolled back",
    "failed": "failed",
    "unknown": "not known",
    "not_sent": "not run",
}
_INTERESTING = frozenset({"failed", "unknown", "rolled_back"})


def half_parts(request: Request, status: Status) -> list[Part]:
    """What became of each statement of the file in which a run ended, and, in doubt, how to find out."""
    return [*statements_part(request), *questions_part(request, status)]


def statements_part(request: Request) -> list[Part]:
    """The statements of the file in which the run ended, in their order, each with what became of it."""
    found: Sequence[Mapping[str, Any]] = request.ending.get("statements") or ()
    version = request.ending.get("within") or next(iter(request.ending.get("unknown") or ()), None)
    if not found or version is None or request.settlement is not None:
        return []
    ran = next((place for place, one in enumerate(found) if one["outcome"] != "done"), len(found))
    first = max(0, min(ran - 3, len(found) - STATEMENTS_SHOWN))
    shown = found[first : first + STATEMENTS_SHOWN]
    lines: list[Line] = [_line(one) for one in shown]
    marks = [_MARKS[str(one["outcome"])] for one in shown]
    before, after = found[0]["index"] + first, len(found) - first - len(shown)
    if before:
        lines.insert(0, (f"{plural(before, 'statement')} before these",))
        marks.insert(0, _MARKS["done"])
    if after:
        lines.append((f"{plural(after, 'statement')} behind these",))
        marks.append(_MARKS["not_sent"])
    return [Listing(f"Statements of {filename_of(request, str(version))}", lines, marks)]


def _line(one: Mapping[str, Any]) -> Line:
    detail = f" ({shortened(str(one['detail']))})" if one["detail"] and one["outcome"] in _INTERESTING else ""
    return (f"line {one['line']}: {shortened(str(one['words']), WORDS_SHOWN)}{detail}",)


def questions_part(request: Request, status: Status) -> list[Part]:
    """How to find out what is not known: what to ask the target by hand, in order, and what each answer means."""
    found: Sequence[Mapping[str, str]] = request.ending.get("questions") or ()
    if status is not Status.INTERRUPTED or not found or request.settlement is not None:
        return []
    lines = []
    for number, one in enumerate(found, 1):
        lines += [f"-- {number}. {one['asks']}", *([one["sql"]] if one["sql"] else []), f"-- {one['means']}"]
    why: Line = (
        "What became of the last thing that was sent is not known: the connection or the runner ended before the server "
        "said so. It is never sent again by itself, and nothing else runs on the target until a person has looked.",
    )
    return [Paragraph(why), Source("How to find out", "\n".join(lines))]


_WHERE = (("On the target", "applied"), ("Not on the target", "not_applied"), ("Unknown", "unknown"))


def whereabouts(request: Request, status: Status) -> list[Part]:
    """Which files are on the target: as the person found them who settled it, else as the run left them."""
    if status not in {Status.INTERRUPTED, Status.PARTIALLY_APPLIED}:
        return []
    known: Mapping[str, Any] = request.ending
    if request.settlement is not None:
        there = set(request.settlement.versions)
        versions = [str(one["version"]) for one in request.files]
        known = {
            "applied": [one for one in versions if one in there],
            "not_applied": [one for one in versions if one not in there],
        }
    named: list[Part] = [_named(title, request, known[key]) for title, key in _WHERE if known.get(key)]
    return [*named, *outcomes_parts(request)]


def _named(title: str, request: Request, versions: Sequence[str]) -> Listing:
    lines: list[Line] = [(filename_of(request, one),) for one in versions[:LEFT_SHOWN]]
    if len(versions) > LEFT_SHOWN:
        everything = Code(f"countersign show {request.id} --json")
        lines.append((f"and {len(versions) - LEFT_SHOWN} more; ", everything, " lists all"))
    return Listing(f"{title} ({len(versions)})", lines)


def filename_of(request: Request, version: str) -> str:
    """The name of the plan's file with this version."""
    return next((str(one["filename"]) for one in request.files if one["version"] == version), version)


def has_broken(request: Request) -> bool:
    """Whether the run may have left something INVALID: a statement outside a transaction that failed, or is unknown."""
    return any(one["outcome"] in {"failed", "unknown"} for one in request.ending.get("statements") or ())


def may_resume(request: Request) -> bool:
    """Whether what is left of it can be asked for."""
    return request.kind in CAN_BE_RESUMED and bool(versions_left(request) or slugs_left(request))


def may_roll_back(request: Request) -> bool:
    """Whether there is something of it on the target that may be taken back."""
    return request.kind in CAN_BE_UNDONE and is_on_target(request)


def ways_on(request: Request) -> Line:
    """What can be asked for when a run ended half-way; the commands say the same as the card's buttons."""
    ways: list[Line] = [(Command(f"resume {request.id}"), " runs only what is left")] if may_resume(request) else []
    ways += [(Command(f"clean up {request.id}"), " drops what is INVALID")] if has_broken(request) else []
    ways += [(Command(f"rollback {request.id}"), " shows the ways back")] if may_roll_back(request) else []
    if (within := request.ending.get("within")) and request.kind in CAN_BE_UNDONE:
        wrong = Command(f"repair {request.environment} applied {within}")
        ways.append((wrong, " writes its history row, if all of it is there after all"))
    ways = ways or [(Command(again_of(request)), " asks for it again, as the target is now")]
    each = ". Each is a request of its own, to be approved." if len(ways) > 1 else "."
    return (*(span for number, way in enumerate(ways) for span in (*(("; ",) if number else ()), *way)), each)


def or_resume(request: Request) -> Line:
    """The other way on from a settled request, where its last file may be there in part."""
    if len(request.ending.get("statements") or ()) < 2:
        return ()
    return (", or, where part of a file is there, go on with ", Command(f"resume {request.id}"))


def end_blockers(request: Request, blockers: Sequence[Mapping[str, Any]]) -> Line:
    """How to ask to end those who are in the way, those that have a number."""
    pids = dict.fromkeys(int(one["pid"]) for one in blockers if one["pid"])
    asked = joined((Command(f"terminate {request.environment} {pid_text(pid)}") for pid in list(pids)[:2]), " or ")
    return (*asked, " asks to end what is in the way") if asked else ("end what is in the way",)
