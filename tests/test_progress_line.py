"""The line that follows what is worked on: it fits, it is harmless, it goes away, and it is not there for programs."""

import io
import os
import pty
import re
import select
import threading

import pytest
from rich.cells import cell_len

from commands.progress_line import ProgressLine
from ops.progress import Told


class Terminal:
    """A pseudo terminal that keeps what is written to it."""

    def __init__(self, columns: int, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        self._reading, writing = pty.openpty()
        self.stream = os.fdopen(writing, "w", encoding=encoding, errors="backslashreplace")

        os.set_blocking(self._reading, False)

    def until_drawn(self) -> None:
        """Wait for the first frame."""
        assert select.select([self._reading], [], [], 30)[0], "nothing is ever drawn"

    def shown(self) -> str:
        self.stream.flush()
        found = b""
        try:
            while part := os.read(self._reading, 10_000):
                found += part
        except OSError:  # nothing more is there
            pass
        self.stream.close()
        os.close(self._reading)
        return found.decode()


def frames(shown: str) -> list[str]:
    return [frame for frame in shown.split("\r\x1b[K") if frame]


def test_quick_answer_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.progress_line.QUIET_SECONDS", 60.0)
    terminal = Terminal(80, monkeypatch)

    with ProgressLine(terminal.stream) as progress:
        progress("reading the repository")

    assert terminal.shown() == ""


@pytest.mark.parametrize("columns", [20, 40, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_line_of_progress_fits_is_harmless_and_goes_away(
    monkeypatch: pytest.MonkeyPatch, columns: int, encoding: str
) -> None:
    monkeypatch.setattr("commands.progress_line.QUIET_SECONDS", 0.0)
    terminal = Terminal(columns, monkeypatch, encoding)

    with ProgressLine(terminal.stream) as progress:
        progress(Told("backup: \x1b[2J\u202e" + "a" * 300, step="backup", share=0.5))
        terminal.until_drawn()

    shown = terminal.shown()
    assert frames(shown)
    assert all(cell_len(frame) < columns for frame in frames(shown)), frames(shown)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", "".join(frames(shown)))
    assert shown.endswith("\r\x1b[K")


def test_line_of_progress_goes_away_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.progress_line.QUIET_SECONDS", 0.0)
    terminal = Terminal(80, monkeypatch)

    def fail() -> None:
        with ProgressLine(terminal.stream) as progress:
            progress("looking")
            terminal.until_drawn()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()

    assert terminal.shown().endswith("\r\x1b[K")
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_steps_are_told_once_each_where_nobody_watches() -> None:
    stream = io.StringIO()

    with ProgressLine(stream) as progress:
        for told in (
            "reading the repository",
            Told("backup", step="backup"),
            Told("backup: 1 of 9\x1b[2J", step="backup", share=0.1),
            Told("migrate: 1 of 2", step="migrate"),
            Told("migrate: 2 of 2", step="migrate", share=0.5),
        ):
            progress(told)

    assert stream.getvalue() == "countersign: backup\ncountersign: migrate: 1 of 2\n"


def test_programs_are_told_no_steps() -> None:
    stream = io.StringIO()

    with ProgressLine(stream, is_quiet=True) as progress:
        progress(Told("backup", step="backup"))

    assert stream.getvalue() == ""


def test_share_stays_between_nothing_and_all() -> None:
    assert [Told("x", share=share).share for share in (-1.0, 0.25, 7.0, None)] == [0.0, 0.25, 1.0, None]
