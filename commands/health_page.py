"""The pages of a target's health: all that was checked, and the message about what changed."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from audit import Event
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import When
from commands.page_words import plural
from ops.health_changes import Changed
from ops.health_checked import Checked

CHANGES_SHOWN = 15

_NOW = {"holds": "holds again", "fails": "does not hold", "unknown": "is not known", "gone": "is no longer checked"}


def checked_part(target: str, checks: Sequence[Checked]) -> Listing:
    """Every check of one target, what does not hold first."""
    order = sorted(checks, key=lambda one: ("fails", "unknown", "holds").index(one.state))
    lines: list[Line] = [(f"{one.name}: {one.detail}",) for one in order]
    return Listing(target, lines or [("nothing is checked here",)], [one.state for one in order] or ["none"])


def checks_words(checks: Sequence[Checked]) -> str:
    """`all 9 checks hold`, or how many do not."""
    states = [one.state for one in checks]
    bad, unknown = states.count("fails"), states.count("unknown")
    if not states:
        return "nothing is checked"
    if not bad and not unknown:
        return "the check holds" if len(states) == 1 else f"all {len(states)} checks hold"
    parts = [f"{bad} of {plural(len(states), 'check')} {'does' if bad == 1 else 'do'} not hold"] if bad else []
    parts += [f"{unknown} {'is' if unknown == 1 else 'are'} not known"] if unknown else []
    return ", ".join(parts)


def health_changed_page(event: Event) -> Page:
    """What a `health_changed` event tells the channel: everything that changed in one look, in one message."""
    target, environment = f"{event.project}/{event.environment}", event.environment or ""
    changed = Changed.of(event)
    lines: list[Line] = [_change_line(one) for one in changed.changes[:CHANGES_SHOWN]]
    more = len(changed.changes) - len(lines)
    lines += [(f"and {more} more",)] if more > 0 else []
    marks = [one["now"] for one in changed.changes[:CHANGES_SHOWN]] + ["…"] * (more > 0)
    still = len(changed.standing)
    if still:
        left = f"; {plural(still, 'check')} {'does' if still == 1 else 'do'} not hold now"
    else:
        left = "; everything holds again"
    is_better = not still
    return Page(
        f"The health of {target} has changed{left}",
        facts=[("Noticed", (When(event.at),))],
        body=[Listing("What changed", lines, marks)],
        next=() if is_better else (Command(f"health {environment}"), " looks again."),
        tone="good" if is_better else "warning",
    )


def _change_line(change: Mapping[str, Any]) -> Line:
    flaps = "; it changes often, and is told again once it has been the same for half an hour" * bool(
        change.get("flaps")
    )
    return (Code(change["name"]), f" {_NOW[change['now']]}: {change['detail']}{flaps}")
