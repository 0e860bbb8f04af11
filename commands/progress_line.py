"""What a terminal shows while something is worked on: one line that follows it, or in a log one line for each step."""

import sys
import threading
import time
from types import TracebackType
from typing import Literal
from typing import Self
from typing import TextIO

from commands.screen import printable
from commands.screen import screen_of
from commands.screen import width_of
from ops.progress import Told

QUIET_SECONDS = 0.4
"""What is answered within this time shows no line: it would only flicker."""

FRAME_SECONDS = 0.1
BAR_CELLS = 20


class ProgressLine:
    """Call it with words of progress, from any thread. On a terminal it is cleared at the end; elsewhere each step of a
    run is a line of its own unless `is_quiet`, and nothing else is said."""

    def __init__(self, stream: TextIO | None = None, *, is_quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._kind: Literal["live", "lines", "silent"] = "silent" if is_quiet else "lines"
        if self._stream.isatty():
            self._kind = "live"
        self._has_lines = screen_of(self._stream).has_lines
        self._told = Told("working")
        self._since = self._began = time.monotonic()
        self._is_drawn = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._kind == "live":
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._kind == "live":
            self._thread.join()
        if self._is_drawn:
            print("\r\x1b[K", end="", file=self._stream, flush=True)

    def __call__(self, words: str) -> None:
        told = words if isinstance(words, Told) else Told(words)
        with self._lock:
            is_other_step = _name(told) != _name(self._told)
            self._told = told
            if is_other_step:
                self._since = time.monotonic()
        if self._kind == "lines" and told.step and is_other_step:
            print(f"countersign: {printable(told)}", file=self._stream, flush=True)

    def _follow(self) -> None:
        frame = 0
        while not self._over.wait(FRAME_SECONDS):
            if time.monotonic() - self._began >= QUIET_SECONDS:
                self._draw(frame)
                frame += 1

    def _draw(self, frame: int) -> None:
        with self._lock:
            told, seconds = self._told, time.monotonic() - self._since
        frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self._has_lines else "|/-\\"
        tail = f"  {seconds:.0f} s" + (f"  {self._bar(told.share)}" if told.share is not None else "")
        width = width_of(self._stream) - 1
        words = _cut(printable(" ".join(told.split())), width - len(tail) - 2, "…" if self._has_lines else "~")
        print(
            f"\r\x1b[K{frames[frame % len(frames)]} {words}{tail}"[: width + 4], end="", file=self._stream, flush=True
        )
        self._is_drawn = True

    def _bar(self, share: float) -> str:
        full, empty = "█░" if self._has_lines else "#."
        done = round(share * BAR_CELLS)
        return f"{full * done}{empty * (BAR_CELLS - done)} {share * 100:.0f} %"


def _name(told: Told) -> str:
    """What the seconds are counted for: the step, or whatever is said where there is none."""
    return told.step or str(told)


def _cut(words: str, cells: int, end: str) -> str:
    """Words in so many cells of the terminal, however wide its letters are."""
    from rich.cells import cell_len  # only a line that is drawn needs it
    from rich.cells import set_cell_size

    return words if cell_len(words) <= cells else set_cell_size(words, max(0, cells - 1)) + end
