"""App Home of each person: published when they open it, and kept true for a day afterwards.

Opening Home is no act: nothing is asked for, decided or changed, and Slack tells of it each time somebody passes by
the tab. So it is not in the log, as no other event of Slack's that nobody said or pressed is.
"""

import hashlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import timedelta
from typing import Generic
from typing import TypeVar

from audit import AuditError
from audit import Event
from bot.links import Links
from bot.links import numbers_in
from bot.render import Blocks
from bot.render import blocks_of
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store
from commands.home_page import Overview
from commands.home_page import home_footer
from commands.home_page import home_pages
from commands.home_page import read_overview
from commands.home_page import refused_home
from commands.page import Page
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.people import People
from ops.requesting import check_member
from ops.status import ENDINGS

logger = logging.getLogger("countersign.home")

PUBLISHED_PER_MINUTE = 45
"""views.publish allows 100 a minute and workspace (docs.slack.dev, read 2026-11); the rest is left to forms."""

FOLLOWED_PER_MINUTE = 30
"""Of these, so many for people who did not just ask: whoever opens Home does not wait behind them."""

FOLLOW = timedelta(hours=24)
PAUSE_SECONDS = 2.0
"""What happens in quick succession is shown together."""

RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
AGAIN_SECONDS = 3.0
"""Who opens Home over and over gets it anew this often."""

PEOPLE_SECONDS = 60.0
UNKNOWN_SECONDS = 10.0
"""So long an answer about people serves for display, and so long none does. A click asks anew."""

CHANGES = ENDINGS | {
    "approved",
    "backup_proven",
    "cancelled",
    "debt_owed",
    "expired",
    "frozen",
    "locked",
    "pinned",
    "recorded",
    "rejected",
    "requested",
    "reviewed",
    "shown",
    "started",
    "superseded",
    "unfrozen",
    "unlocked",
}
"""The kinds of events that change what Home tells. A run writes many others, and reading it again costs it time."""

HOPELESS = frozenset({"not_enabled", "user_not_found", "invalid_arguments", "view_too_large"})

Found = TypeVar("Found")


class Recently(Generic[Found]):
    """Answers about people, asked at most once a minute for each; an answer that failed, a little more often."""

    def __init__(self, ask: Callable[[str], Found]) -> None:
        self._ask = ask
        self._found: dict[str, tuple[float, Found | OpsError]] = {}

    def __call__(self, who: str) -> Found:
        until, found = self._found.get(who, (float("-inf"), None))
        if found is None or time.monotonic() > until:
            now = time.monotonic()
            self._found = {one: kept for one, kept in self._found.items() if now <= kept[0]}
            found = self._answer(who)
            keep = UNKNOWN_SECONDS if isinstance(found, OpsError) else PEOPLE_SECONDS
            self._found[who] = (time.monotonic() + keep, found)
        if isinstance(found, OpsError):
            raise found
        return found

    def forget(self, who: str) -> None:
        """Ask anew about this one next time."""
        self._found.pop(who, None)

    def _answer(self, who: str) -> Found | OpsError:
        try:
            return self._ask(who)
        except OpsError as error:
            return error


class RecentPeople:
    """The workspace's people and groups as they were within the last minute: to show what a click would probably say."""

    def __init__(self, people: People) -> None:
        self.are_known = people.are_known
        self.person = Recently(people.person)
        self.group = Recently(people.group)


@dataclass(frozen=True)
class Wish:
    """Somebody's Home is to be published: when, whether they asked for it, and how often it failed already."""

    due: float
    asked: bool
    failures: int = 0


@dataclass(frozen=True)
class Seen:
    """What somebody's Home was when it was last published: a hash of all of it, when, and the requests on it."""

    rendered: str
    at: float
    requests: frozenset[str]


class Home:
    """Publishes Homes from one thread of its own, within its own budget, so that cards and answers never wait for it."""

    def __init__(self, ops: Ops, api: SlackApi, store: Store) -> None:
        self._people = RecentPeople(ops.people)
        self._ops = replace(ops, people=self._people)
        self._api = api
        self._store = store
        self._wishes: dict[str, Wish] = {}
        self._followed = store.homes(since=ops.now() - FOLLOW)
        self._published: deque[float] = deque()
        self._shown: dict[str, Seen] = {}
        self._links = Links(api, store)
        self._overview: Overview | None = None
        self._stale_at = float("inf")
        self._changed = threading.Condition()
        self._over = False
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name="home", daemon=True)

    def start(self) -> None:
        """Catch up with what happened while no bot was up, then follow."""
        self._stale_at = time.monotonic() + PAUSE_SECONDS
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Publish nothing more: the next start catches up."""
        self._unsubscribe()
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def opened(self, actor: Actor) -> None:
        """This person looks at Home, or asked for a fresh one. Never blocks."""
        if actor.user is None:
            return
        with self._changed:
            now = time.monotonic()
            seen = self._shown.get(actor.id)
            self._wishes[actor.id] = Wish(max(now, seen.at + AGAIN_SECONDS) if seen else now, asked=True)
            self._changed.notify_all()

    def _on_events(self, events: Sequence[Event]) -> None:
        if any(event.kind in CHANGES for event in events):
            with self._changed:
                self._overview = None
                self._stale_at = min(self._stale_at, time.monotonic() + PAUSE_SECONDS)
                self._changed.notify_all()

    def _work(self) -> None:
        while (found := self._next()) is not None:
            person, wish = found
            try:
                self._show(Actor(person), asked=wish.asked)
            except (SlackUnavailableError, OpsError, AuditError) as error:
                self._again(person, wish, error)
            except Exception as error:
                logger.exception("home_failed_unexpectedly person=%s", person)
                self._again(person, wish, error)

    def _next(self) -> tuple[str, Wish] | None:
        """The next Home that is due and within the budget, those who asked first; None when it is time to end."""
        with self._changed:
            while not self._over:
                now = time.monotonic()
                if self._stale_at <= now:
                    self._spread(now)
                due = [(max(now, self._free_at(wish, now)), not wish.asked, who) for who, wish in self._wishes.items()]
                if not due:
                    self._changed.wait(min(60.0, self._stale_at - now))
                    continue
                at, _, who = min(due)
                if at <= now:
                    return who, self._wishes.pop(who)
                self._changed.wait(min(at, self._stale_at) - now)
            return None

    def _spread(self, now: float) -> None:
        """Something changed: everybody who looked lately is to see it."""
        self._stale_at = float("inf")
        self._overview = None
        self._forget()
        for who in self._followed:
            self._wishes.setdefault(who, Wish(now, asked=False))

    def _forget(self) -> None:
        """Keep only who looked lately, and the links of the requests that they see: a bot is up for months."""
        since = self._ops.now() - FOLLOW
        self._followed = {who: at for who, at in self._followed.items() if at >= since}
        self._shown = {who: seen for who, seen in self._shown.items() if who in self._followed}
        self._links.keep({number for seen in self._shown.values() for number in seen.requests})

    def _free_at(self, wish: Wish, now: float) -> float:
        """When this wish is due and the minute's budget has room for it."""
        while self._published and self._published[0] <= now - 60:
            self._published.popleft()
        most = PUBLISHED_PER_MINUTE if wish.asked else FOLLOWED_PER_MINUTE
        if len(self._published) < most:
            return wish.due
        return max(wish.due, self._published[-most] + 60)

    def _again(self, person: str, wish: Wish, error: Exception) -> None:
        """Later once more, but not for ever: the next look or change comes anyway."""
        logger.warning("home_postponed person=%s error=%s", person, error)
        is_hopeless = isinstance(error, SlackUnavailableError) and error.error in HOPELESS
        if wish.failures < len(RETRY_SECONDS) and not is_hopeless:
            due = time.monotonic() + RETRY_SECONDS[wish.failures]
            with self._changed:
                self._wishes.setdefault(person, replace(wish, due=due, failures=wish.failures + 1))

    def _show(self, actor: Actor, *, asked: bool) -> None:
        """Bring one person's Home up to what the log says; unasked only where something on it changed."""
        now = self._ops.now()
        if asked:
            self._people.person.forget(actor.user or "")
            self._followed[actor.id] = now
            self._store.note_home(actor.id, now)
            self._forget()
        content, footer = self._blocks(actor)
        requests = frozenset(numbers_in(content))
        content = self._links.linked(content, requests)
        rendered = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        seen = self._shown.get(actor.id)
        if not asked and seen and seen.rendered == rendered:
            return
        self._published.append(time.monotonic())
        self._api.call("views.publish", user_id=actor.user, view={"type": "home", "blocks": content + footer})
        self._shown[actor.id] = Seen(rendered, time.monotonic(), requests)

    def _blocks(self, actor: Actor) -> tuple[Blocks, Blocks]:
        """What Home tells this person, and its ending, which changes with every minute."""
        try:
            check_member(self._ops, actor)
        except OpsError as error:
            if error.reason is Reason.IDENTITY_UNPROVEN:
                raise
            return _rendered(refused_home(error)), []
        seen = self._overview
        if seen is None:
            self._overview = seen = read_overview(self._ops)
            self._look_again(seen)
        content = _rendered(home_pages(self._ops, seen, actor))
        return content, _rendered([home_footer(self._ops.now())])[1:]  # it needs no heading

    def _look_again(self, seen: Overview) -> None:
        """When a lock ends, nothing happens that would tell of it."""
        if seen.changes_at is not None:
            left = (seen.changes_at - self._ops.now()).total_seconds()
            with self._changed:
                self._stale_at = min(self._stale_at, time.monotonic() + left + PAUSE_SECONDS)


def _rendered(pages: Sequence[Page]) -> Blocks:
    return [block for page in pages for block in blocks_of(page, tables=False)]
