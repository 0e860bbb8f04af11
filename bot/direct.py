"""Direct messages: the log is followed, and each event that somebody has to hear of is told to them, once.

Who is told what is in `commands.told`. A message that Slack does not take is tried again, for a day; it holds up no other.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from audit import AuditError
from audit import Event
from audit import Query
from bot.channels import post
from bot.follower import Follower
from bot.follower import pause_until
from bot.links import Links
from bot.links import numbers_in
from bot.render import blocks_of
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store
from commands.page import Page
from commands.told import TOLD
from commands.told import About
from commands.told import letters_of
from ops.errors import OpsError
from ops.forewarning import warn
from ops.gates import NOTHING_WAITS
from ops.gates import waits_of
from ops.layer import Ops
from ops.people import Actor
from ops.reminding import Reminders
from ops.requests import find_request

logger = logging.getLogger("countersign.direct")

TELL_FOR = timedelta(days=1)
"""What could not be told for so long is told no more: the card has said it all the time."""

AGAIN_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)
LOOK_SECONDS = 2.0
"""How often it is looked whom to remind."""

READER = "direct messages"
"""Under which the store knows how far the log was read."""

HOPELESS = frozenset({"user_not_found", "user_disabled", "cannot_dm_bot", "messages_tab_disabled", "channel_not_found"})
"""Slack's words for somebody who can be told nothing directly."""


class Direct(Follower):
    """One thread that follows the log and writes to people, with as many tries as it takes, so that nobody waits for it."""

    def __init__(self, ops: Ops, api: SlackApi, store: Store) -> None:
        super().__init__(ops, store, READER, TOLD)
        self._api = api
        self._links = Links(api, store)
        self._reminders = Reminders(ops)
        self._failures: dict[str, tuple[int, float]] = {}
        self._stuck: list[Event] = []
        self._looked: int | None = None

    def looks(self) -> tuple[Callable[[], None], ...]:
        return (self._reminders.look, partial(warn, self.ops), self._follow)

    def pause(self) -> float:
        return pause_until((due for _, due in self._failures.values()), LOOK_SECONDS)

    def _follow(self) -> None:
        """Tell every event since the last look, and those before that could not be told yet: they keep no other back."""
        head, done = self.head(), self.reached
        looked, since = done if self._looked is None else self._looked, self.ops.now() - TELL_FOR
        news = self.ops.view.find(Query(kinds=tuple(TOLD), after_seq=looked, before_seq=head + 1, since=since))
        stuck: list[Event] = []
        for event in (*(one for one in self._stuck if one.at >= since), *news):
            if self.is_over:
                return
            if not self._is_done(event):
                stuck.append(event)
        self._stuck, self._looked = stuck, head
        reached = stuck[0].seq - 1 if stuck else head
        if reached != done:
            self.store.follow(self.name, reached)
        ids = {one.id for one in stuck}
        self._failures = {once: one for once, one in self._failures.items() if once.rpartition(" to ")[0] in ids}

    def _is_done(self, event: Event) -> bool:
        """Tell one event; whether nothing of it has to be tried again. One of which no letter can be made is done: it would
        be so for ever, and what comes behind it is to be told."""
        try:
            return self._tell(event)
        except AuditError:
            raise  # of the log, and not of this event
        except Exception:
            reference = uuid.uuid4().hex[:8]
            logger.exception("not_told_directly reference=%s event=%s kind=%s", reference, event.id, event.kind)
            return True

    def _tell(self, event: Event) -> bool:
        """Send the letters of one event. False when one of them has to be tried again."""
        is_all_told = True
        for letter in letters_of(event, self._about(event)):
            once = f"{event.id} to {letter.to}"
            failures, due = self._failures.get(once, (0, 0.0))
            if self.store.was_told(once):
                continue
            if time.monotonic() < due:
                is_all_told = False
                continue
            try:
                self._send(letter.to, letter.page)
            except (SlackUnavailableError, OpsError) as error:
                logger.warning("not_told_directly event=%s person=%s error=%s", event.id, letter.to, error)
                if not (isinstance(error, SlackUnavailableError) and error.error in HOPELESS):
                    pause = AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)]
                    self._failures[once] = (failures + 1, time.monotonic() + pause)
                    is_all_told = False
                    continue
            self.store.tell(once)
        return is_all_told

    def _about(self, event: Event) -> About:
        request = find_request(self.ops.view, event.request) if event.request else None
        requester_is = self.ops.requester_is(request.by) if request else None
        waits = NOTHING_WAITS
        if request and event.kind == "approved":
            with suppress(OpsError):  # the configuration may not have its environment any more
                waits = waits_of(self.ops, request)
        return About(request, requester_is, self.ops.requester_is(Actor(event.actor)), waits)

    def _send(self, user: str, page: Page) -> None:
        """One direct message, to a full member of our own workspace and to nobody else."""
        person = self.ops.people.person(user)
        if person.problem is not None:
            logger.info("nobody_to_tell person=%s problem=%s", user, person.problem)
            return
        blocks = blocks_of(page)
        blocks = self._links.linked(blocks, numbers_in(blocks))
        direct = self._api.call("conversations.open", users=user)["channel"]["id"]
        post(self._api, direct, page, blocks=blocks)
