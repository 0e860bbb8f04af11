"""`freeze prod because`: let nobody begin a run on a target, or on any with `freeze all`, until somebody unfreezes it.

Whoever approves on the target may; on `all`, whoever approves on any. Where nobody approves, the requesters may. A freeze
needs its reason. It holds until `unfreeze`, or for as long as you say: `for 2h`, `until Fri 17:00`. Freezing again, for
another time or reason, replaces your own freeze; somebody else's holds beside it, so nobody makes another's shorter: what is
frozen is free when the last of them is over.

While it holds, what needs people can be asked for and approved; it starts when the freeze ends, and everything is checked
again then. What needs nobody is refused. A run that is under way goes on: `stop` ends it; one whose runner died waits. A
hotfix passes it only where the environment says `hotfix_passes = "all"`. Freezes of the configuration end by themselves.

Examples:
    freeze prod the ledger is being reconciled             until somebody unfreezes it
    freeze all for 2h incident 42                          everything, for two hours
    freeze shop/prod until Fri 17:00 Europe/London sale    until a moment

See also: unfreeze, lock, stop, status
"""

from collections.abc import Sequence
from datetime import datetime

from commands.lock import how_long
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import When
from commands.page import Who
from commands.reply import Reply
from commands.when_parts import freeze_json
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import ALL
from ops.freezing import Freeze
from ops.freezing import freeze
from ops.layer import Ops
from ops.moments import check_zone_said
from ops.moments import is_like_a_moment
from ops.moments import moment_of
from ops.occupying import Occupant
from ops.occupying import occupant_of
from ops.targets import Target
from ops.targets import all_targets
from ops.targets import find_target

USAGE = "freeze ENVIRONMENT|all [for DURATION | until WHEN] REASON…"
SUMMARY = "let nobody begin a run on a target, or anywhere"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

MOMENT_WORDS = 3
"""A moment has so many words at most: `Fri 17:00 Europe/London`."""


def run(ops: Ops, said: Said) -> Reply:
    target = target_said(ops, said, USAGE)
    until, because = _until_when(said.arguments[1:], ops.now())
    held, beside = freeze(ops, target, said.actor, said.act, until, because)
    targets = [target] if target else all_targets(ops.settings)
    found = [occupant_of(ops.view, one.stream) for one in targets]
    at_work = [one for one in found if one is not None and not one.blocked]
    data = {
        "target": held.what,
        "freeze": freeze_json(held),
        "beside": [freeze_json(one) for one in beside],
        "running": [one.request for one in at_work],
    }
    return Reply(_page(held, beside, at_work), data)


def target_said(ops: Ops, said: Said, usage: str) -> Target | None:
    """The target that was said, None for `all`. Raises OpsError(ENVIRONMENT_NEEDED) where nothing was."""
    if not said.arguments:
        raise OpsError(Reason.ENVIRONMENT_NEEDED, f"Say which environment to {said.word}, or all.", f"Type `{usage}`.")
    name = said.arguments[0]
    return None if name.lower() == ALL else find_target(ops.settings, name)


def _until_when(words: tuple[str, ...], now: datetime) -> tuple[datetime | None, str]:
    """`for 2h`, `2h` or `until Fri 17:00`, and the reason after it. Without a time, all of it is the reason."""
    if words[:1] != ("until",):
        length, because = how_long(words, "freeze")
        return (now + length if length else None), because
    for count in range(MOMENT_WORDS, 0, -1):
        moment, rest = " ".join(words[1 : 1 + count]), words[1 + count :]
        try:
            until = moment_of(moment, now)
        except OpsError:
            continue
        check_zone_said(moment, rest[0] if rest else "")
        return until, " ".join(rest)
    begins = words[1:3]
    if any(letter.isdigit() for letter in " ".join(begins)) or any(map(is_like_a_moment, begins)):
        moment_of(" ".join(begins), now)  # says what is wrong with it: a wrong time is no reason
    return None, " ".join(words)


def _page(held: Freeze, beside: Sequence[Freeze], at_work: Sequence[Occupant]) -> Page:
    body: list[Part] = []
    if at_work:
        names = ", ".join(one.request for one in at_work)
        stops = Command(f"stop {at_work[0].request}")
        body.append(Paragraph((f"{names} began before and goes on; ", stops, " ends it.")))
    for one in beside:
        ends: Line = (" until ", When(one.until)) if one.until else (" until somebody unfreezes it",)
        body.append(Paragraph(("The freeze by ", Who(one.by.id), " holds beside it", *ends, ".")))
    until: Line = (When(held.until),) if held.until else ("somebody unfreezes it",)
    facts: list[tuple[str, Line]] = [("Until", until), ("Reason", (held.because,))]
    then = "then, or until " if held.until else ""
    what = "Everything" if held.what == ALL else held.what
    following: Line = (f"nothing begins there until {then}", Command(f"unfreeze {held.what}"), ".")
    return Page(f"{what} is frozen", facts, body, following)
