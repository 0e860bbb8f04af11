"""What Supabase's advisors find on a target, and what of it is new since they were asked last. Reads only."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from audit import Event
from ops.errors import OpsError
from ops.masking import printable
from ops.supabase.client import api_for
from ops.targets import Target

if TYPE_CHECKING:
    from ops.steps import Recorder
    from ops.supabase.models import Lint

KIND = "advisors_noted"
TIMEOUT_SECONDS = 15.0
PATIENCE_SECONDS = 5.0
"""A run waits no longer for advice that nothing rests on."""

NAMED = 3
"""So many new findings are named where there is one line for them."""

LEVELS = ("ERROR", "WARN", "INFO")
_DETAIL_LETTERS = 300
_MOST_NEW = 50


@dataclass(frozen=True)
class Advice:
    """What was noted last: all findings counted by level, and those that were new then."""

    counts: dict[str, int]
    new: tuple[dict[str, str], ...]

    @property
    def count(self) -> int:
        return sum(self.counts.values())


def advice_of(event: Event | None) -> Advice | None:
    """What an `advisors_noted` event says; None where there is none, or it was erased."""
    if event is None or event.data is None:
        return None
    return Advice(dict(event.data["counts"]), tuple(event.data["new"]))


def noted(lints: Iterable["Lint"], before: Event | None) -> dict[str, Any]:
    """The data of the event that notes these findings, where `before` is the one before."""
    by_key = {one.cache_key: one for one in lints}
    known = set(before.data["keys"]) if before is not None and before.data is not None else None
    new = [] if known is None else [one for key, one in by_key.items() if key not in known]
    new.sort(key=lambda one: (_rank(one.level), one.title, one.cache_key))
    return {
        "keys": sorted(by_key),
        "new": [_shown(one) for one in new[:_MOST_NEW]],
        "counts": dict(Counter(one.level for one in by_key.values())),
        "is_first": known is None,
    }


def note_advisors(recorder: "Recorder", target: Target) -> str:
    """Ask the advisors behind a run and note what they find. What is new, in words that go behind others; empty where
    nothing is, nobody can be asked, or they did not answer: a run never ends otherwise because of advice."""
    try:
        api = api_for(target, timeout_seconds=TIMEOUT_SECONDS, patience_seconds=PATIENCE_SECONDS)
        if api is None:
            return ""
        with api:
            lints = (*api.advisors("security"), *api.advisors("performance"))
    except OpsError as error:
        return f"; the advisors were not asked: {error.message.rstrip('.')}"
    before = recorder.ops.view.last(kind=KIND, project=target.project, environment=target.environment)
    data = noted(lints, before)
    recorder.record(KIND, data)
    return new_words(data["new"])


def new_words(new: list[dict[str, str]]) -> str:
    """`; 2 new findings of the advisors: RLS disabled in public (public.orders)…`; empty where nothing is new."""
    if not new:
        return ""
    named = "; ".join(finding_words(one) for one in new[:NAMED])
    more = f" and {len(new) - NAMED} more" if len(new) > NAMED else ""
    return f"; {len(new)} new finding{'s' if len(new) > 1 else ''} of the advisors: {named}{more}"


def finding_words(one: dict[str, str]) -> str:
    """`error: RLS Disabled in Public: Table public.orders is public, but …`"""
    detail = f": {one['detail']}" if one["detail"] else ""
    return f"{one['level'].lower()}: {one['title']}{detail}".rstrip(".")


def _shown(lint: "Lint") -> dict[str, str]:
    """A finding as it may be kept and shown: short, secrets covered."""
    return {
        "name": printable(lint.name),
        "title": printable(lint.title),
        "level": printable(lint.level, 20),
        "detail": printable(lint.detail, _DETAIL_LETTERS),
    }


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
