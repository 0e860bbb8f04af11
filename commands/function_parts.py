"""What people read of the functions of a plan or a request: which are deployed, and what became of each."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Part
from commands.page_words import migrations
from commands.page_words import plural
from ops.requests import Request
from ops.supabase.function_log import DONE
from ops.supabase.function_log import LEFT
from ops.supabase.function_log import UNKNOWN
from ops.supabase.function_log import planned_functions

FUNCTIONS_SHOWN = 10

_OUTCOMES = ((DONE, "Functions that are deployed"), (LEFT, "Functions that are not"), (UNKNOWN, "Functions, not known"))


def work_text(files: int, functions: int) -> str:
    """What a push does: `2 migrations`, `2 migrations and 1 function`, `1 function`."""
    if not functions:
        return migrations(files)
    return f"{migrations(files)} and {plural(functions, 'function')}" if files else plural(functions, "function")


def functions_part(functions: Sequence[Mapping[str, Any]], most: int | None, everything: Line) -> list[Part]:
    """Each function with what becomes of it; what stays as it is is not named. `most` None: all of them."""
    told = [one for one in functions if one["change"] != "unchanged"]
    if not told:
        return []
    lines: list[Line] = [_words(one) for one in told[:most]]
    marks = [str(one["change"]) for one in told[:most]]
    if len(lines) < len(told):
        lines.append((f"and {len(told) - len(lines)} more; ", *everything))
        marks.append("more")
    count = sum(one["change"] != "left" for one in told)
    return [Listing(plural(count, "function") if count else "Functions that stay", lines, marks)]


def _words(one: Mapping[str, Any]) -> Line:
    slug, change, running = Code(str(one["slug"])), one["change"], one["running"]
    version = f"version {running['version']}" if running else ""
    if change == "left":
        return (slug, f", {version}, is not in the commit and stays; `prune = true` would delete it")
    if change == "removed":
        return (slug, f", {version}, is deleted")
    who = "for who has a token" if one["verify_jwt"] else "open to anybody"
    over = f" in place of {version}" if version else ""
    return (slug, f"{over}: {plural(len(one['files']), 'file')}, {str(one['sha256'])[:12]}, {who}")


def outcomes_parts(request: Request) -> list[Part]:
    """What became of the functions of a run that did not do all of it."""
    found: Mapping[str, Sequence[str]] = request.ending.get("functions") or {}
    return [
        Listing(f"{title} ({len(found[key])})", [(slug,) for slug in found[key]])
        for key, title in _OUTCOMES
        if found.get(key)
    ]


def functions_done_text(request: Request) -> str:
    """`, 1 of 2 functions deployed`; empty where the run had none."""
    count = len(planned_functions(request.plan))
    done = len((request.ending.get("functions") or {}).get(DONE, ()))
    return f", {done} of {plural(count, 'function')} deployed" if count else ""
