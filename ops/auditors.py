"""Who may read the log: the auditors and approvers that the configuration names, and who has a login on the bot's host."""

from collections.abc import Mapping
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import is_named
from ops.policy import refused
from ops.settings import Settings
from ops.targets import all_targets

ELSEWHERE = "elsewhere"
"""Where a try came from that has no address, or whose address is one too many to be named."""
MOST_PLACES = 10
_TRIED = {
    "password": "log in to the pages of the log {were} refused: not with this name and password",
    "link": "open the pages of the log {were} refused: not with the link that was printed last",
}


def readers_of(settings: Settings) -> tuple[str, ...]:
    """Handles and people who may read the log in Slack: the auditors, then every environment's approvers."""
    approvers = (who for target in all_targets(settings) for who in target.settings.approvers)
    return tuple(dict.fromkeys((*settings.audit.auditors, *approvers)))


def may_audit(entries: Sequence[str], actor: Actor, directory: Directory) -> Decision:
    """Whether this actor may read the log. Who has a login on the host may."""
    if actor.is_terminal:
        return Decision(True)
    if actor.user is None:
        return refused(Reason.IDENTITY_UNPROVEN, f"Nobody proved who {actor.id} is.")
    if (problem := directory.problem_of(actor.user)) is not None:
        return refused(
            Reason.NOT_A_MEMBER, f"You cannot read the log: {problem}.", "Ask a full member of this workspace."
        )
    if not is_named(entries, actor, directory.groups):
        who = f"These may: {names_of(entries)}." if entries else "Nobody is named as an auditor yet."
        return refused(Reason.NOT_AN_AUDITOR, "You may not read the log of what others did.", who)
    return Decision(True)


def check_may_audit(ops: Ops, actor: Actor) -> None:
    """Raises OpsError NOT_AN_AUDITOR, NOT_A_MEMBER, IDENTITY_UNPROVEN unless this actor may read the log."""
    entries = readers_of(ops.settings)
    directory = ops.directory(entries if actor.user else (), users=(actor.user,), members=False)
    may_audit(entries, actor, directory).or_raise()


def not_let_in(by: str, places: Mapping[str, int]) -> dict[str, Any]:
    """The `data` of the refusal of tries to read the log at `audit serve`, by `password` or by `link`: so many from each
    address. Nothing of what was typed is in it, for a name can be a password in the wrong field. Raises ValueError for what
    is no address or no number, since whoever serves the pages says this through the door."""
    if by not in _TRIED or not 0 < len(places) <= MOST_PLACES + 1:
        raise ValueError(by)
    for place, tries in places.items():
        if type(tries) is not int or not 0 < tries < 10**12:
            raise ValueError(place)
        if place != ELSEWHERE and ("%" in place or str(ip_address(place)) != place):
            raise ValueError(place)
    count = sum(places.values())
    told = _TRIED[by].format(were="was" if count == 1 else "were")
    message = f"{count:,} {'try' if count == 1 else 'tries'} to {told}, from {' and '.join(sorted(places))}."
    facts = {"by": by, "from": dict(sorted(places.items()))}
    return {"word": "audit serve", "reason": Reason.IDENTITY_UNPROVEN.value, "message": message, "facts": facts}
