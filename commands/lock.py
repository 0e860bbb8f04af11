"""`lock prod`: let nobody start a run on a target for a while, whoever approves it.

Every requester of the target may, and a terminal user of the bot's host. The lock holds for as long as you say with
`for`, 4 hours if you do not say, 7 days at most; then it ends by itself. Whoever holds it may lock again, for another
time or reason, and alone may unlock it.

While it holds, `push` is refused with who locked the target, until when and why. What waits there can be approved, and
starts when the lock ends; everything is asked again then. A run that is under way goes on: `stop` ends it;
one whose runner died waits for the lock's end. Plans, status and history work as ever.

Examples:
    lock prod                                 for 4 hours
    lock prod for 2h                          for 2 hours
    lock prod for 2h the import is running    for 2 hours, with a reason
    lock shop/prod until we know more         for 4 hours, with a reason

See also: unlock, stop, status
"""

import re
from datetime import timedelta

from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import When
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.locking import USUAL
from ops.locking import Lock
from ops.locking import lock
from ops.occupying import Occupant
from ops.occupying import occupant_of
from ops.setting_values import parse_duration
from ops.targets import Target
from ops.targets import find_target

USAGE = "lock ENVIRONMENT [for DURATION] [REASON…]"
SUMMARY = "let nobody start a run on a target for a while"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.ENVIRONMENT_NEEDED, "Say which environment to lock.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    length, because = how_long(said.arguments[1:], "lock")
    held = lock(ops, target, said.actor, said.act, length or USUAL, because)
    at_work = occupant_of(ops.view, target.stream)
    data = {
        "target": target.name,
        "lock": lock_json(held),
        "running": at_work.request if at_work and not at_work.blocked else None,
    }
    return Reply(_page(target, held, at_work), data)


def lock_json(held: Lock | None) -> dict[str, str] | None:
    """A lock for programs, None where nothing is locked."""
    if held is None:
        return None
    at, until = held.at.isoformat(), held.until.isoformat()
    return {"by": held.by.id, "at": at, "until": until, "because": held.because}


def how_long(words: tuple[str, ...], what: str) -> tuple[timedelta | None, str]:
    """`for 2h`, or only `2h`, and the reason after it. Without a time, `for` begins the reason: for the migration of Ana.

    Raises OpsError(BAD_USAGE) for what looks like a time and is none that a lock or freeze (`what`) can have: a wrong one
    must not be taken for a reason.
    """
    after = words[1:] if words[:1] == ("for",) else words
    first = after[0].lower() if after else ""
    if first and _LIKE_A_TIME.match(first):
        try:
            return parse_duration(first), " ".join(after[1:])
        except (ValueError, OverflowError):
            raise _no_time(first, what) from None
    if words[:1] == ("for",) and (not after or first in _NUMBERS):
        raise _no_time(" ".join(after[:2]) or "nothing", what)
    if words[:1] == ("until",) and after[1:] and _LIKE_A_TIME.match(after[1]):
        raise _no_time(" ".join(words[:2]), what)
    return None, " ".join(words)


_LIKE_A_TIME = re.compile(r"[-+]?[0-9]")
_NUMBERS = frozenset(
    ["a", "an", "half", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"]
)


def _no_time(said: str, what: str) -> OpsError:
    message = f"{said[:40]!r} is no time that a {what} can hold for."
    return OpsError(Reason.BAD_USAGE, message, "Say a number and a unit, without a space: for 30m, for 2h or for 3d.")


def _page(target: Target, held: Lock, at_work: Occupant | None) -> Page:
    body: list[Part] = []
    if at_work is not None and at_work.blocked:
        body.append(Paragraph((f"{at_work.request} was interrupted there, so nothing could start anyway.",)))
    elif at_work is not None:
        line: Line = (
            f"{at_work.request} is running there and goes on; ",
            Command(f"stop {at_work.request}"),
            " ends it.",
        )
        body.append(Paragraph(line))
    facts: list[tuple[str, Line]] = [("Until", (When(held.until),))]
    if held.because:
        facts.append(("Reason", (held.because,)))
    following: Line = (
        "nothing starts there until then, or until you type ",
        Command(f"unlock {target.environment}"),
        ".",
    )
    return Page(f"{target.name} is locked", facts, body, following)
