"""A run's timeline for people: as lines of text for `show`, and as a picture where there is room for one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from commands.request_page import state_words
from ops.errors import OpsError
from ops.errors import Reason
from ops.requests import Request
from ops.timeline import Bar
from ops.timeline import Timeline

DRAW_SECONDS = 30
PNG = b"\x89PNG\r\n\x1a\n"
BAR_LETTERS = 12
LABEL_LETTERS = 60
DETAIL_LETTERS = 160
INDENT = {"step": 0, "gap": 0, "file": 2, "wait": 4, "statement": 4}
SIGNS = {"wait": "░", "gap": "·", "step": "█", "file": "▓", "statement": "▒"}


def timeline_text(timeline: Timeline) -> str:
    """One line a bar: when, how long, what, and how it ended; what was waited for stands below a wait.

    The name comes last, so that a narrow window breaks long names and nothing else.
    """
    lines: list[str] = []
    for bar in timeline.bars:
        indent = INDENT[bar.kind]
        label = " " * indent + _cut(bar.label, LABEL_LETTERS - indent)
        outcome = "" if bar.outcome == "done" else f"  {bar.outcome}"
        lines.append(f"{_drawn(bar, timeline.seconds)} {bar.seconds:6.2f} s {label}{outcome}")
        if bar.detail:
            lines.append(f"{' ' * (indent + 2)}{_cut(bar.detail, DETAIL_LETTERS)}")
    return "\n".join(lines)


def timeline_title(request: Request, timeline: Timeline) -> str:
    """What the picture is of, for its title and for those who do not see it."""
    waited = f", {timeline.waited_seconds:.1f} s of it waiting for locks" if timeline.waited_seconds else ""
    stands = state_words(request, request.status)
    return f"{request.id} · {request.target}: {stands}, {timeline.seconds:.1f} s{waited}"


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
    """The picture of what `show` answered, written to a file of whoever asked; an older picture there is replaced.

    Raises OpsError: PICTURE_FAILED when the request never ran or nothing can be drawn, BAD_USAGE when the file is something
    else or cannot be written.
    """
    found = answer.get("timeline")
    if found is None:
        message = f"{answer['request']} never ran, so there is nothing to draw."
        raise OpsError(Reason.PICTURE_FAILED, message, "`show` tells what became of it.", exit_code=1)
    try:
        _check_replaceable(file)
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        picture = timeline_picture(found, home / "countersign")
        with NamedTemporaryFile(dir=file.parent, prefix=".countersign-", suffix=".png", delete=False) as part:
            part.write(picture)
        Path(part.name).chmod(0o644)
        Path(part.name).replace(file)
    except OSError as error:
        message = f"The picture cannot be written to {file}: {error.strerror}."
        raise OpsError(Reason.BAD_USAGE, message, "Name another file.") from error


def _check_replaceable(file: Path) -> None:
    """Raise OpsError(BAD_USAGE) where there is something that is no picture."""
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not file.is_file() or file.open("rb").read(len(PNG)) != PNG:
        raise OpsError(Reason.BAD_USAGE, f"{file} is there and is no PNG; it is left as it is.", "Name another file.")


def _drawn(bar: Bar, seconds: float) -> str:
    """The bar in letters, never shorter than one."""
    if seconds <= 0:
        return SIGNS[bar.kind].ljust(BAR_LETTERS)
    start = min(BAR_LETTERS - 1, int(bar.start_seconds / seconds * BAR_LETTERS))
    length = max(1, min(BAR_LETTERS - start, round(bar.seconds / seconds * BAR_LETTERS)))
    return f"{' ' * start}{SIGNS[bar.kind] * length}".ljust(BAR_LETTERS)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
