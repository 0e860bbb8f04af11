"""What every benchmark shares: rounds that alternate, percentiles, the machine's facts, and ratio lines.

A benchmark measures itself and its rival in turn, round by round (ours first in one, the rival in the next), and
compares what belongs to the same round. A machine that is busy for a while slows both, so the ratio stands.

    folder = options.folder
    found = alternate(options.rounds, {"ours": append_many, "rival": insert_many})   # {"ours": [...], "rival": [...]}
    figures = [Figure("one append", found["ours"], found["rival"], unit="/s", at_least=0.5)]
    return report("Durable appends", figures, folder=folder)                          # the exit code
"""

import argparse
import math
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What every benchmark is told: how many rounds, whether only to show that it works, and where to write."""

    rounds: int
    tiny: bool
    folder: Path


@dataclass(frozen=True)
class Figure:
    """One number of ours beside the rival's, one value per round. Without a bound the ratio is only told.

    `at_most` and `at_least` bound ours divided by the rival's.
    """

    name: str
    ours: Sequence[float]
    rival: Sequence[float]
    unit: str = "s"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours divided by the rival's, round by round."""
        return [ours / rival for ours, rival in zip(self.ours, self.rival, strict=True)]

    @property
    def met(self) -> bool:
        """Whether the median of the rounds' ratios is within its bounds."""
        ratio = statistics.median(self.ratios)
        return not (
            (self.at_most is not None and ratio > self.at_most) or (self.at_least is not None and ratio < self.at_least)
        )

    def line(self) -> str:
        """`<name>: ratio 0.07 [0.06–0.09], at most 0.25: met (ours 0.71 ms, rival 10.6 ms)`."""
        ratio = f"ratio {statistics.median(self.ratios):.2f} [{min(self.ratios):.2f}–{max(self.ratios):.2f}]"
        values = [shown(statistics.median(values), self.unit) for values in (self.ours, self.rival)]
        return f"{self.name}: {ratio}{_verdict(self)} (ours {values[0]}, rival {values[1]})"


@dataclass(frozen=True)
class Bound:
    """One number of ours against a fixed limit, where there is no rival. One value per round; the median counts."""

    name: str
    values: Sequence[float]
    unit: str = "s"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the median of the rounds is within its bounds."""
        value = statistics.median(self.values)
        return not (
            (self.at_most is not None and value > self.at_most) or (self.at_least is not None and value < self.at_least)
        )

    def line(self) -> str:
        """`<name>: 0.61 s [0.60–0.66], at most 1 s: met`."""
        spread = f"[{shown(min(self.values), self.unit)}–{shown(max(self.values), self.unit)}]"
        return f"{self.name}: {shown(statistics.median(self.values), self.unit)} {spread}{_verdict(self, self.unit)}"


def _verdict(figure: Figure | Bound, unit: str = "") -> str:
    limits = [("at most", figure.at_most), ("at least", figure.at_least)]
    said = [f"{word} {shown(limit, unit) if unit else limit}" for word, limit in limits if limit is not None]
    return f", {' and '.join(said)}: {'met' if figure.met else 'NOT MET'}" if said else ""


def shown(value: float, unit: str) -> str:
    """A number as people read it; seconds below one as milliseconds."""
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:,.0f} {unit}".strip() if abs(value) >= 1000 else f"{value:.3g} {unit}".strip()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, by nearest rank: always one that was measured."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def alternate(rounds: int, contenders: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run each contender once per round, in turn, the order reversed in every other round; what each returned."""
    found: dict[str, list[T]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            found[name].append(contenders[name]())
    return found


def options_of(description: str, arguments: Sequence[str] | None = None, rounds: int = 5) -> Options:
    """The benchmark's command line: `--rounds`, `--tiny` (a second or two, to see that it works), `--folder`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each contender is measured")
    parser.add_argument("--tiny", action="store_true", help="only show that it works; the numbers mean nothing")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where files are written")
    found = parser.parse_args(arguments)
    return Options(1 if found.tiny else found.rounds, found.tiny, found.folder)


def report(title: str, figures: Sequence[Figure | Bound], *, folder: Path, notes: Sequence[str] = ()) -> int:
    """Print the title, the machine's facts, a line per figure and the notes; 1 when a figure is not met, else 0."""
    print(f"{title}\n{machine(folder)}")
    for figure in figures:
        print(figure.line())
    for note in notes:
        print(note)
    sys.stdout.flush()
    return 0 if all(figure.met for figure in figures) else 1


def machine(folder: Path) -> str:
    """The facts that a number depends on, in a line: processors, memory, load, Python, SQLite, the folder's filesystem."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    parts = [
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB",
        f"load {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        f"files on {filesystem_of(folder)}",
    ]
    return ", ".join(parts)


def filesystem_of(folder: Path) -> str:
    """The kind of filesystem that a folder is on, such as ext4 or tmpfs; "unknown" where the system does not tell."""
    try:
        lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    place = folder.resolve()
    holding = {len(at): kind for _, at, kind, *_ in lines if place.is_relative_to(at)}
    return holding[max(holding)] if holding else "unknown"


def rss_mb(pid: int) -> float:
    """The resident memory of a process in MB (10^6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
