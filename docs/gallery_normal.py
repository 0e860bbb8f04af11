"""What differs from run to run, made the same: moments, hashes, sizes, durations, process ids, names of databases."""

import hashlib
import itertools
import re
from datetime import UTC
from datetime import datetime
from typing import Any

from gallery_stage import TICK_SECONDS
from gallery_stage import Shown
from gallery_stage import Story

from commands.timeline import BAR_LETTERS

BEGAN = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""The first scene is always played at this time."""

_DATE = "%Y-%m-%d %H:%M UTC"
_GIVEN_BY_SLACK = re.compile(r"[0-9a-f]{6}")
_WRITTEN_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
_MRKDWN_DATE = re.compile(r"<!date\^(\d+)\^")
_HASH = re.compile(r"\b(?!\d{14}\b)[0-9a-f]{12,64}\b")
_BAR = re.compile(r"^[ ░▒▓█]*([░▒▓█]) +[0-9.]+ s", re.MULTILINE)
_LENGTH = re.compile(r"(\d+ min )?\d+(\.\d+)? s")
_STEP = re.compile(rf"^((?:done|failed): .*)(?<!proven), {_LENGTH.pattern}$", re.MULTILINE)
_CUT = re.compile(r"\b(?:pid|session) \d+\b.*…\.?$", re.DOTALL)
"""What was cut to a length while it held a number of as many digits as the system happened to give."""
_SAME = (
    (re.compile(r"\b\d+(\.\d+)? s\b"), "1.2 s"),
    (re.compile(r"\b\d+(\.\d+)? (kB|MB|GB)\b"), "48.0 kB"),
    (re.compile(r"\b(pid|session) \d+"), r"\1 4711"),
    (re.compile(r"\b(terminate \S+) (pid)?\d+"), r"\1 4711"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:5432"),
    (re.compile(r"\bisolation (none|partial|full)\b"), "isolation full"),
    (re.compile(r"\bPostgreSQL \d+\.\d+\b"), "PostgreSQL 18.4"),
    (re.compile(r"/archives/(C\w+)/p\d+"), r"/archives/\1/p1"),
)


class Normal:
    """One scene's words and blocks in their lasting form; hashes keep their places, and equal ones stay equal.

    Each card is for itself, so that a change of one changes no other.
    """

    def __init__(self, story: Story) -> None:
        self._story = story
        self._hashes: dict[str, str] = {}

    def card(self, shown: Shown) -> dict[str, Any]:
        """The card as it is kept: what it says, its blocks, and at what time it is looked at."""
        at = self._moment(self._story.clock.seconds())
        card: dict[str, Any] = {"kind": shown.kind, "at": at.isoformat(), "text": self._text(shown.text)}
        for name in ("title", "submit", "close"):
            if getattr(shown, name):
                card[f"modal_{name}" if name == "title" else name] = getattr(shown, name)
        if shown.errors:
            card["errors"] = dict(shown.errors)
        if shown.only_for_me:
            card["only_for_me"] = True
        card["blocks"] = [self._value(block) for block in shown.blocks]
        return card

    def _value(self, found: Any) -> Any:
        match found:
            case {"type": "date", "timestamp": int(seconds)}:
                at = self._moment(seconds)
                return {**found, "timestamp": int(at.timestamp()), "fallback": f"{at:{_DATE}}"}
            case dict():
                kept = {key: one for key, one in found.items() if not _is_of_slack(key, one)}
                return {key: self._value(one) for key, one in kept.items()}
            case list():
                return [self._value(one) for one in _without_length(found)]
            case str():
                return self._text(found)
            case _:
                return found

    def _text(self, text: str) -> str:
        for name, shown in self._story.names.items():
            text = text.replace(name, shown)
        text = _WRITTEN_DATE.sub(lambda found: f"{self._read(found[0]):{_DATE}}", text)
        text = _MRKDWN_DATE.sub(lambda found: f"<!date^{int(self._moment(int(found[1])).timestamp())}^", text)
        text = _HASH.sub(self._hash, text)
        text = _STEP.sub(r"\1", text)
        text = _with_bars(text)
        is_cut_by_length = _CUT.search(text) is not None
        for pattern, same in _SAME:
            text = pattern.sub(same, text)
        return f"{text[: int(len(text) * 0.9) // 25 * 25]}…" if is_cut_by_length else text

    def _read(self, written: str) -> datetime:
        # To the minute only; what happens does so soon after ten minutes begin, so it was the end of that minute.
        return self._moment(datetime.strptime(written, _DATE).replace(tzinfo=UTC).timestamp() + 59)

    def _moment(self, seconds: float) -> datetime:
        """The beginning of the same ten minutes of the story that is kept."""
        ticks = max(0, (int(seconds) - self._story.began) // TICK_SECONDS)  # what was there before, was there then
        return datetime.fromtimestamp(int(BEGAN.timestamp()) + ticks * TICK_SECONDS, UTC)

    def _hash(self, found: re.Match[str]) -> str:
        """Another hash of the same length; the beginnings of one hash stay the beginnings of one."""
        begins = found[0][:12]
        made = self._hashes.setdefault(begins, hashlib.sha256(str(len(self._hashes)).encode()).hexdigest())
        return made[: len(found[0])]


def _without_length(found: list[Any]) -> list[Any]:
    """A step's words without how long it took: if it took next to no time it does not say so. Backups are never so quick."""
    said = [one.get("text", "") if isinstance(one, dict) else "" for one in found]
    is_step = len(found) > 3 and said[-2] == ", " and _LENGTH.fullmatch(str(said[-1])) is not None
    return found[:-2] if is_step and "proven" not in said[-3] else found


def _with_bars(text: str) -> str:
    """A timeline in which one bar comes after the other and all are of one length."""
    number = itertools.count()

    def same(found: re.Match[str]) -> str:
        start = min(next(number), BAR_LETTERS - 2)
        bar = f"{' ' * start}{found[1] * 2}".ljust(BAR_LETTERS)
        return f"{bar}   1.20 s"

    return _BAR.sub(same, text)


def _is_of_slack(key: str, found: Any) -> bool:
    """Whether this is an id that Slack gave because we sent none."""
    return key in {"block_id", "action_id"} and _GIVEN_BY_SLACK.fullmatch(str(found)) is not None
