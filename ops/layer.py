"""What every act of the ops layer needs: the configuration, the log, the people and the clock, in one value."""

import logging
import os
import pwd
import re
import socket
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from functools import cached_property
from pathlib import Path

from audit import Draft
from audit import Log
from audit import Reader
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.people import Group
from ops.people import NoPeople
from ops.people import People
from ops.people import Person
from ops.plan import Progress
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import may_request
from ops.repository import Repository
from ops.requests import Request
from ops.settings import Settings
from ops.targets import Target
from ops.targets import target_of
from ops.turns import Turns
from ops.value_links import ValueLinks
from ops.values import Values

logger = logging.getLogger("countersign.ops")

REHEARSALS = 2
"""So many at once in one process; each is a server of its own."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def host_name() -> str:
    """This host, in the letters that an actor's id may have."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:253] or "localhost"


def terminal_actor(uid: int) -> Actor:
    """The terminal user with this user id, as the system names them."""
    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        login = ""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", login):
        login = f"uid-{uid}"
    return Actor(f"os:{host_name()}/{login}")


def project_repository(settings: Settings, target: Target) -> Repository:
    """The bare mirror of a target's repository, kept beside the card store; relative paths are the configuration's."""
    url = target.project_settings.repository
    if "://" not in url and not re.match(r"[^/]+@[^/]+:", url):
        url = str(settings.path(Path(url).expanduser()))
    cache = settings.path(settings.state.path).parent / "repositories"
    return Repository(url, cache, supabase=target.project_settings.supabase)


@dataclass(frozen=True)
class Ops:
    """The ops layer at work: one log that this process may write, and what is around it."""

    settings: Settings
    log: Log
    people: People = field(default_factory=NoPeople)
    now: Callable[[], datetime] = utc_now
    active: set[str] = field(default_factory=set)
    rehearsals: Turns = field(default_factory=lambda: Turns(REHEARSALS), repr=False, compare=False)
    values: Values = field(default_factory=Values, repr=False, compare=False)
    value_links: ValueLinks = field(default_factory=ValueLinks, repr=False, compare=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    login: Actor = field(default_factory=lambda: terminal_actor(os.geteuid()))
    """Whose process this is: who runs Countersign, where it is the bot's."""
    runner: str = field(default_factory=lambda: f"{host_name()}/{os.getpid()}")

    @cached_property
    def view(self) -> Reader:
        """The log for reading, as it is at the moment of each question."""
        return Reader(self.log.path)

    @contextmanager
    def at_work(self, request: str) -> Iterator[None]:
        """While this lasts, the request is this process's, once. One that runs and is nobody's has lost its runner.

        Raises OpsError(TARGET_BUSY) when it is at work already.
        """
        with self._mutex:
            if request in self.active:
                raise OpsError(
                    Reason.TARGET_BUSY,
                    f"{request} is at work already.",
                    f"Watch it with `show {request}`.",
                    exit_code=5,
                )
            self.active.add(request)
        try:
            yield
        finally:
            self.active.discard(request)

    def repository(self, target: Target) -> Repository:
        """The bare mirror of the target's repository."""
        return project_repository(self.settings, target)

    def target_of(self, request: Request) -> Target:
        return target_of(self.settings, request.project, request.environment)

    def requester_is(self, by: Actor) -> str | None:
        """The Slack id of a requester: theirs, or the one that [people] gives their terminal login."""
        return by.user or (self.settings.known_author(by.login) if by.login else None)

    def draft(self, kind: str, actor: Actor, request: Request, data: Mapping[str, object]) -> Draft:
        """An event of a request's stream."""
        return Draft(
            kind=kind,
            actor=actor.id,
            stream=request.stream,
            data=data,
            project=request.project,
            environment=request.environment,
            request=request.id,
        )

    def directory(self, entries: tuple[str, ...], *, users: tuple[str | None, ...] = (), members: bool) -> Directory:
        """What Slack says now about groups among `entries`, about `users`, and with `members` about everybody named.

        Raises OpsError(IDENTITY_UNPROVEN) when any answer is uncertain. A process without Slack gets an empty
        directory unless somebody must be asked about, and an empty directory entitles nobody from Slack.
        """
        if not self.people.are_known and not any(users):
            return Directory({}, {})
        groups: dict[str, Group] = {entry: self.people.group(entry) for entry in entries if entry.startswith("@")}
        wanted = {user for user in users if user}
        if members:
            wanted |= {entry for entry in entries if not entry.startswith(("@", "os:"))}
            wanted |= {member for group in groups.values() for member in group.members}
        people: dict[str, Person] = {user: self.people.person(user) for user in sorted(wanted)}
        return Directory(people, groups)


def may_request_now(ops: Ops, target: Target, actor: Actor) -> Decision:
    """Whether this actor is one of a target's requesters, by the rules and by what Slack says now.

    Raises OpsError(IDENTITY_UNPROVEN) when Slack's answer is uncertain.
    """
    if actor.is_ci:
        from ops.ci_identity import mapped_actor  # here, for it brings what checks signatures

        return mapped_actor(ops.settings.ci, actor, target.project, target.environment)
    entries = target.settings.requesters
    directory = ops.directory(entries if actor.user else (), users=(actor.user,), members=False)
    return may_request(entries, actor, directory, target.name)


def record_refusal(ops: Ops, actor: Actor, act: str, word: str, error: OpsError, request: str | None = None) -> None:
    """Put a refusal into the log, with the act that it answers. A redelivered act finds its first refusal."""
    ops.log.append(
        [
            Draft(
                kind="refused",
                actor=actor.id,
                stream="people",
                data={"to": act, "word": word, "reason": error.reason.value, "message": error.message, "facts": {}},
                request=request,
            )
        ],
        id=f"{act}:refused",
    )


__all__ = ["Ops", "Progress", "host_name", "may_request_now", "record_refusal", "terminal_actor", "utc_now"]
