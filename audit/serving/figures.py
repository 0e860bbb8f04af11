"""How often is deployed, how long it takes, how often it fails, how soon it is well again: in numbers and pictures.

Pure: rows in, numbers and SVG out.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

RUNS = (
    "SELECT request, target, asked_at, started_at, ended, ended_at FROM request"
    " WHERE started_at IS NOT NULL AND ended IN ('succeeded', 'failed', 'partially_applied', 'interrupted')"
    " AND (:target = '' OR target = :target) ORDER BY ended_at"
)
"""Every run that is over, oldest first; all of them, since what failed before a period may be mended within it."""

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 240, 52, 24, 40
MOST_MONTHS = 24


@dataclass(frozen=True)
class Month:
    """The figures of one month (`2026-11`). None: nothing to take the middle of."""

    name: str
    succeeded: int = 0
    failed: int = 0
    lead_hours: float | None = None
    restore_hours: float | None = None

    @property
    def runs(self) -> int:
        return self.succeeded + self.failed

    @property
    def failure_percent(self) -> float | None:
        return round(100 * self.failed / self.runs, 1) if self.runs else None


@dataclass(frozen=True)
class Figure:
    """One picture: what it shows, how that is counted, and the number of each month."""

    name: str
    title: str
    about: str
    unit: str
    values: Sequence[float | None]


def months(runs: Iterable[Mapping[str, Any]], seconds_between: Any, since: str = "", until: str = "") -> list[Month]:
    """The months in which a run ended, and those between, from `since` to before `until` (as dates are written).

    A failure is restored when the next run on its target succeeds, and counts in the month in which it failed.
    """
    ended: dict[str, list[str]] = {}
    lead: dict[str, list[float]] = {}
    restored: dict[str, list[float]] = {}
    broken: dict[str, list[str]] = {}
    for run in runs:
        month, at = run["ended_at"][:7], run["ended_at"]
        wanted = (not since or at >= since) and (not until or at < until)
        if wanted:
            ended.setdefault(month, []).append(run["ended"])
        if run["ended"] != "succeeded":
            broken.setdefault(run["target"], []).extend([at] if wanted else [])
            continue
        if wanted and run["asked_at"]:
            lead.setdefault(month, []).append(seconds_between(run["asked_at"], at))
        for failed_at in broken.pop(run["target"], []):
            restored.setdefault(failed_at[:7], []).append(seconds_between(failed_at, at))
    return [
        Month(
            name,
            succeeded=ended.get(name, []).count("succeeded"),
            failed=len(ended.get(name, [])) - ended.get(name, []).count("succeeded"),
            lead_hours=_middle(lead.get(name)),
            restore_hours=_middle(restored.get(name)),
        )
        for name in _between(ended)
    ]


def _middle(seconds: Sequence[float] | None) -> float | None:
    return round(median(seconds) / 3600, 2) if seconds else None


def _between(names: Iterable[str]) -> list[str]:
    """All months from the first to the last of these."""
    found = sorted(names)
    if not found:
        return []
    numbers = [12 * int(name[:4]) + int(name[5:]) - 1 for name in (found[0], found[-1])]
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(numbers[0], numbers[1] + 1)]


def figures(found: Sequence[Month]) -> list[Figure]:
    """The four pictures of these months."""
    return [
        Figure(
            "deploys",
            "Deploys",
            "Runs that ended in the month, whether they succeeded or not.",
            "runs",
            [month.runs for month in found],
        ),
        Figure(
            "lead-time",
            "Lead time",
            "From the asking to the end of the runs that succeeded: the middle one.",
            "hours",
            [month.lead_hours for month in found],
        ),
        Figure(
            "failure-rate",
            "Failure rate",
            "Of a hundred runs, those that failed, were partially applied or interrupted.",
            "%",
            [month.failure_percent for month in found],
        ),
        Figure(
            "time-to-restore",
            "Time to restore",
            "From a failure to the next run on the same target that succeeded: the middle one, in the month of the failure.",
            "hours",
            [month.restore_hours for month in found],
        ),
    ]


def shown(value: float | None) -> str:
    """A number as it is read, the same in picture and table."""
    return "–" if value is None else f"{value:,.2f}".rstrip("0").rstrip(".")


def svg(figure: Figure, names: Sequence[str]) -> str:
    """The picture: a bar for each of the last months, with its number above it. What it says is in the table too."""
    names, values = names[-MOST_MONTHS:], figure.values[-MOST_MONTHS:]
    highest = max((value for value in values if value is not None), default=0) or 1
    width, base = (WIDTH - LEFT - 20) / max(len(names), 1), HEIGHT - BOTTOM
    bar = min(width * 0.7, 56)
    parts = [
        f'<text x="{LEFT}" y="{TOP - 8}" class="unit">{escape(figure.unit)}</text>',
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{base}" y2="{base}" class="axis"/>',
    ]
    every = max(1, -(-len(names) // 6))  # what fits in a narrow window, where letters are larger
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = LEFT + width * (place + 0.5)
        height = (base - TOP - 18) * (value or 0) / highest
        if value:
            parts.append(
                f'<rect x="{middle - bar / 2:.1f}" y="{base - height:.1f}" width="{bar:.1f}" height="{height:.1f}" rx="2"/>'
            )
        parts.append(f'<text x="{middle:.1f}" y="{base - height - 6:.1f}" class="value">{shown(value)}</text>')
        if place % every == 0:
            parts.append(f'<text x="{middle:.1f}" y="{base + 18}" class="month">{escape(name)}</text>')
    told = "; ".join(f"{name}: {shown(value)}" for name, value in zip(names, values, strict=True))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{figure.name}-title {figure.name}-told">'
        f'<title id="{figure.name}-title">{escape(figure.title)}, {escape(figure.unit)} by month</title>'
        f'<desc id="{figure.name}-told">{escape(told)}</desc>{"".join(parts)}</svg>'
    )
