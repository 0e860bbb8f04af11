"""A run's timeline for people: as lines of text for `show`, and as a picture where there is room for one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.requests import Request
from ops.timeline import Bar
from ops.timeline import Timeline

DRAW_SECONDS = 30
BAR_LETTERS = 24
LABEL_LETTERS = 34
DETAIL_LETTERS = 160
INDENT = {"step": 0, "file": 2, "wait": 4, "statement": 4}
SIGNS = {"wait": "░", "step": "█", "file": "▓", "statement": "▒"}


def timeline_text(timeline: Timeline) -> str:
    """One line a bar, with its length, seconds and outcome; what was waited for stands below a wait."""
    lines: list[str] = []
    for bar in timeline.bars:
        indent = INDENT[bar.kind]
        label = " " * indent + _cut(bar.label, LABEL_LETTERS - indent)
        outcome = "" if bar.outcome == "done" else f"  {bar.outcome}"
        lines.append(f"{label:<{LABEL_LETTERS}} {_drawn(bar, timeline.seconds)} {bar.seconds:8.2f} s{outcome}")
        if bar.detail:
            lines.append(f"{' ' * (indent + 2)}{_cut(bar.detail, DETAIL_LETTERS)}")
    return "\n".join(lines)


def timeline_title(request: Request, timeline: Timeline) -> str:
    """What the picture is of, for its title and for those who do not see it."""
    waited = f", {timeline.waited_seconds:.1f} s of it waiting for locks" if timeline.waited_seconds else ""
    status = request.status.value.replace("_", " ")
    return f"{request.id} · {request.target} · {status}, {timeline.seconds:.1f} s{waited}"


def timeline_json(request: Request, timeline: Timeline) -> dict[str, Any]:
    """The timeline for programs: `title`, `began` (ISO 8601), `seconds`, `bars`; times of bars in seconds after `began`."""
    bars = [
        {"label": bar.label, "kind": bar.kind, "start": bar.start_seconds, "seconds": bar.seconds}
        | {"outcome": bar.outcome, "detail": bar.detail}
        for bar in timeline.bars
    ]
    title = timeline_title(request, timeline)
    return {"title": title, "began": timeline.began.isoformat(), "seconds": timeline.seconds, "bars": bars}


def timeline_picture(found: Mapping[str, Any], cache: Path) -> bytes:
    """What `timeline_json` gives, as a PNG, drawn by a program of its own. `cache`: a folder for what its library remembers.

    Raises OpsError(PICTURE_FAILED) when it cannot be drawn.
    """
    program = Path(__file__).with_name("draw_timeline.py")
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        ran = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", str(program)],
            input=json.dumps(found).encode(),
            env={"MPLCONFIGDIR": str(cache), "PATH": "/usr/bin:/bin"},  # no secret of ours is in reach
            capture_output=True,
            timeout=DRAW_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OpsError(
            Reason.PICTURE_FAILED,
            f"The timeline could not be drawn ({type(error).__name__}).",
            "`show` has it as text.",
            exit_code=1,
        ) from error
    return ran.stdout


def write_picture(answer: Mapping[str, Any], file: Path) -> None:
    """The picture of what `show` answered, written to a file of whoever asked.

    Raises OpsError: PICTURE_FAILED when the request never ran or nothing can be drawn, BAD_USAGE when the file cannot be
    written.
    """
    found = answer.get("timeline")
    if found is None:
        message = f"{answer['request']} never ran, so there is nothing to draw."
        raise OpsError(Reason.PICTURE_FAILED, message, "`show` tells what became of it.", exit_code=1)
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    picture = timeline_picture(found, home / "countersign")
    try:
        file.write_bytes(picture)
    except OSError as error:
        message = f"The picture cannot be written to {file}: {error.strerror}."
        raise OpsError(Reason.BAD_USAGE, message, "Name another file.") from error


def _drawn(bar: Bar, seconds: float) -> str:
    """The bar in letters, never shorter than one."""
    if seconds <= 0:
        return SIGNS[bar.kind].ljust(BAR_LETTERS)
    start = min(BAR_LETTERS - 1, int(bar.start_seconds / seconds * BAR_LETTERS))
    length = max(1, min(BAR_LETTERS - start, round(bar.seconds / seconds * BAR_LETTERS)))
    return f"{' ' * start}{SIGNS[bar.kind] * length}".ljust(BAR_LETTERS)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
