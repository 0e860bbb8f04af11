"""What deploying functions changes of their files, as people read it before they decide. Secrets are cut."""

import difflib
from collections.abc import Iterator
from collections.abc import Mapping

from ops.layer import Ops
from ops.masking import mask
from ops.requests import Request
from ops.supabase.function_log import planned_functions
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_wanted import source_of
from ops.supabase.function_wanted import wanted_sources
from ops.supabase.kept_functions import KeptFunctions
from ops.supabase.models import Function

MOST_LINES = 5_000
"""So many are shown of all functions together; the commit has the rest."""


def functions_text(ops: Ops, request: Request) -> str:
    """The unified diffs of a request's functions as comments of SQL, for the file that a card's thread has; empty where it
    deploys none. Raises OpsError where the commit cannot be read."""
    planned = planned_functions(request.plan)
    if not planned:
        return ""
    target = ops.target_of(request)
    sources = wanted_sources(ops, request, target)
    kept = KeptFunctions.of(target)
    lines = [f"=== {len(planned)} function{'s' if len(planned) != 1 else ''}"]
    for one in planned:
        slug, running = str(one["slug"]), one["running"]
        was = kept.find(Function(slug=slug, name=slug, status="ACTIVE", **running)) if running else None
        over = f", in place of version {running['version']}" if running else ""
        lines += ["", f"--- {slug}: {one['change']}{over}, sha256 {one['sha256'] or 'none'}"]
        if running and was is None:
            lines.append("What it runs now is not kept here, so all of its files are shown.")
        lines += _differences(source_of(slug, was) if was is not None else None, sources.get(slug))
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES:,} more lines"]
    return "\n".join(f"-- {line}".rstrip() for line in lines) + "\n"


def _differences(old: FunctionSource | None, new: FunctionSource | None) -> Iterator[str]:
    before, after = _texts(old), _texts(new)
    for path in sorted({*before, *after}):
        was, now = before.get(path, ""), after.get(path, "")
        if was is None or now is None:
            if path not in before or path not in after or _bytes(old, path) != _bytes(new, path):
                yield f"{path}: no text, and another one now"
        elif was != now or path not in before or path not in after:
            names = (path if path in before else "/dev/null", path if path in after else "/dev/null")
            # Masked as a whole first: what a secret's lines are cut into would no longer look like one.
            yield from difflib.unified_diff(mask(was).splitlines(), mask(now).splitlines(), *names, lineterm="")


def _texts(source: FunctionSource | None) -> Mapping[str, str | None]:
    """The files by name; None for what is no text."""
    found: dict[str, str | None] = {}
    for file in source.files if source is not None else ():
        try:
            text = file.content.decode()
            found[file.path] = None if "\0" in text else text
        except UnicodeDecodeError:
            found[file.path] = None
    return found


def _bytes(source: FunctionSource | None, path: str) -> bytes | None:
    return next((one.content for one in source.files if one.path == path), None) if source is not None else None
