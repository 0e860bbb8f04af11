"""What ops must know of people, as a small port: Slack's directory in the bot, a refusal elsewhere."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from typing import Protocol

from ops.errors import OpsError
from ops.errors import Reason

_SLACK_ACTOR = re.compile(r"slack:(?P<team>[TE][A-Z0-9]+)/(?P<user>[UW][A-Z0-9]+)")


@dataclass(frozen=True)
class Actor:
    """Who acts, as the platform proved it: `slack:T…/U…`, `os:<host>/<login>`, `ci:github/<repository id>/<run>`,
    `ci:token/<name>`, `system:<part>`."""

    id: str

    @property
    def team(self) -> str | None:
        """The Slack workspace, or None where the actor is not from Slack."""
        match = _SLACK_ACTOR.fullmatch(self.id)
        return match["team"] if match else None

    @property
    def user(self) -> str | None:
        """The Slack user id, or None where the actor is not from Slack."""
        match = _SLACK_ACTOR.fullmatch(self.id)
        return match["user"] if match else None

    @property
    def login(self) -> str | None:
        """The login of a terminal user, or None."""
        return self.id.rpartition("/")[2] if self.id.startswith("os:") else None

    @property
    def is_terminal(self) -> bool:
        return self.id.startswith("os:")

    @property
    def is_ci(self) -> bool:
        """A CI job: it may ask and wait where it is mapped, and decides nothing."""
        return self.id.startswith("ci:")


def names_of(entries: Iterable[str]) -> str:
    """Entries of a policy in a sentence of ours: people as actors, so that each front shows them as it shows people, the
    rest as written."""
    return ", ".join(f"slack:T0/{one}" if Actor(f"slack:T0/{one}").user else one for one in entries)


@dataclass(frozen=True)
class Person:
    """A person as Slack described them just now; `problem` says to them why they may decide nothing, None: all is well.

    `zone` is the name of their time zone, None where Slack does not say one.
    """

    user: str
    name: str
    problem: str | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Group:
    """A user group as Slack described it just now."""

    id: str
    handle: str
    members: frozenset[str] = field(default_factory=frozenset)


class People(Protocol):
    """Live answers about people. Every method raises OpsError(IDENTITY_UNPROVEN) when the answer is not certain."""

    @property
    def are_known(self) -> bool:
        """False where this process cannot ask anybody (a terminal): it leaves what needs people to the bot."""

    def person(self, user: str) -> Person: ...

    def group(self, handle: str) -> Group: ...


class NoPeople:
    """A process without Slack: it knows nobody, so it decides nothing that needs people."""

    are_known = False

    def person(self, user: str) -> Person:
        raise _unknown_here(user)

    def group(self, handle: str) -> Group:
        raise _unknown_here(handle)


def _unknown_here(who: str) -> OpsError:
    return OpsError(
        Reason.IDENTITY_UNPROVEN,
        f"This process has no Slack and cannot prove who {who} is.",
        "Leave it to the bot: it picks the request up when it runs.",
        exit_code=3,
    )
