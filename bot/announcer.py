"""Keeps one card per request true: posts it, puts the full SQL into its thread, updates it in place, mends it.

The log is followed, never the other way round: a card is computed from the request's events each time, so a missed,
failed or lost update is made good by the next one. One thread; all updates share Slack's budget.
"""

import hashlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from audit import AuditError
from audit import Event
from bot.channels import channel_of
from bot.channels import post
from bot.channels import refuse_shared
from bot.letters import clean
from bot.pictures import Pictures
from bot.queues import Queues
from bot.render import blocks_of
from bot.render import text_of
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Card
from bot.store import Store
from bot.thread_notes import diff_note
from bot.thread_notes import note_of
from bot.widely import tell_widely
from commands.page import Page
from commands.request_page import request_page
from commands.request_parts import LastBackup
from ops.afterwards import afterwards_of
from ops.backups import last_backup
from ops.claiming import claims_of
from ops.debts import review_owed
from ops.enrolled import waits_in_vain_for
from ops.errors import OpsError
from ops.gates import has_clock
from ops.gates import waits_of
from ops.kinds import kind_of
from ops.layer import Ops
from ops.locking import lock_of
from ops.people import Actor
from ops.rehearsing import diff_text_of
from ops.requests import PUSH
from ops.requests import Request
from ops.requests import find_request
from ops.requests import stream_of
from ops.status import ENDINGS
from ops.status import Status

logger = logging.getLogger("countersign.announcer")

UPDATES_PER_MINUTE = 45
"""chat.update allows 50 a minute and workspace, all messages together (docs.slack.dev, read 2026-11)."""

PAUSE_SECONDS = 1.0
"""A card is not updated more often than this, so that quick steps are shown together."""

LOOK_SECONDS = 30.0
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "thread_not_found"})
"""Slack's words for a card that can no longer be updated: it is posted anew."""

ALL_OPEN = "every open request"
"""Noted in place of a request's number, for the log's thread reads nothing: a lock concerns more than one card."""

CLOCK_SECONDS = 30.0
"""So often the card of a request is looked at on which time alone has something to say."""

ABOUT = "what is said of "
"""Noted before a request's number: the card of the request that it is about is to be looked at."""
QUEUE = "the queue of "
"""Noted before a target: the cards of what waits there are to be looked at."""
WIDELY = "the emergency of "
"""Noted before a request's number: its emergency is to be told in the channel for emergencies."""
_MOVES = frozenset({"requested", "rejected", "cancelled", "expired", "recorded", *ENDINGS})
"""The kinds of events of a request that change what stands before others."""
_TURNS = frozenset({"started", *ENDINGS})
"""The kinds of events of a request that change what the card of another one says."""

SHARE_SECONDS = 3.0
"""So long the thread that keeps the cards waits for Slack to scan a file; then it looks after the others first."""


class Announcer:
    """Follows the log and keeps cards. `note(request)` from any thread asks for a fresh look."""

    def __init__(self, ops: Ops, api: SlackApi, store: Store) -> None:
        self._ops = ops
        self._api = api
        self._store = store
        self._wanted: dict[str, float] = {}
        self._last: set[str] = set()
        self._failures: dict[str, int] = {}
        self._looked_at: dict[str, float] = {}
        self._told: dict[str, int] = {}  # up to which place of its stream a card's thread was told of
        self._updates: deque[float] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._pictures = Pictures(ops, api, store)
        self._queues = Queues(ops)
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name="announcer", daemon=True)

    def start(self) -> None:
        """Look at everything that may have changed while no bot was up, then follow."""
        view = self._ops.view
        for request in {*view.open_requests(), *self._store.requests()}:
            self.note(request)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Show what is still to be shown, within `seconds`, and end."""
        self._unsubscribe()
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def note(self, request: str, *, after_seconds: float = 0.0, last: bool = False) -> None:
        """This request's card is to be looked at; soon, or after a while. `last`: when nothing else is due."""
        with self._changed:
            if not last:
                self._last.discard(request)
            elif request not in self._wanted:
                self._last.add(request)
            due = time.monotonic() + after_seconds
            if due < self._wanted.get(request, due + 1):  # else a run would wake this thread for each event
                self._wanted[request] = due
                self._changed.notify_all()

    def _on_events(self, events: Sequence[Event]) -> None:
        shown = (event for event in events if event.stream.startswith("request:") and event.kind != "watch_sampled")
        for request in {event.request for event in shown if event.request}:
            # A run at work writes many events, and reading them takes longer the more there are.
            self.note(request, after_seconds=PAUSE_SECONDS if request in self._ops.active else 0.0)
        for event in events:
            if event.kind in _TURNS and event.stream.startswith("request:"):
                self.note(f"{ABOUT}{event.request}")
            if event.kind in _MOVES and event.stream.startswith("request:"):
                self.note(f"{QUEUE}{event.project}/{event.environment}", last=True)
        if any(event.kind in {"locked", "unlocked", "frozen", "unfrozen", "enrolled"} for event in events):
            self.note(ALL_OPEN)

    def _work(self) -> None:
        while True:
            request = self._next()
            if request is None:
                return
            try:
                self._look(request)
                self._failures.pop(request, None)
            except (SlackUnavailableError, OpsError, AuditError) as error:
                self._again(request, error)
            except Exception as error:
                logger.exception("card_failed_unexpectedly request=%s", request)
                self._again(request, error)

    def _next(self) -> str | None:
        """The next request that is due; None when it is time to end."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [request for request, at in self._wanted.items() if at <= now or self._over]
                if due:
                    request = min(due, key=lambda one: one in self._last)
                    self._last.discard(request)
                    del self._wanted[request]
                    return request
                if self._over:
                    return None
                soonest = min(self._wanted.values(), default=now + 60)
                self._changed.wait(max(0.01, soonest - now))

    def _again(self, request: str, error: Exception) -> None:
        failures = self._failures.get(request, 0)
        self._failures[request] = failures + 1
        logger.warning("card_postponed request=%s error=%s", request, error)
        if not self._over:
            self.note(request, after_seconds=RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])

    def _check_still_ours(self, channel: str) -> None:
        """No update, file or note goes into a channel that became another company's too. Asked at most every half minute."""
        if time.monotonic() - self._looked_at.get(channel, float("-inf")) < LOOK_SECONDS:
            return
        refuse_shared(self._api, channel)
        self._looked_at[channel] = time.monotonic()

    def _look(self, noted: str) -> None:
        """What was noted: one request's card, or what may change several."""
        if noted == ALL_OPEN:
            for request_id in self._ops.view.open_requests():
                self.note(request_id)
        elif noted.startswith(ABOUT):
            self._note_what_it_is_about(noted.removeprefix(ABOUT))
        elif noted.startswith(QUEUE):
            for request_id in self._queues.moved(noted.removeprefix(QUEUE)):
                if self._store.card(request_id) is not None:
                    self.note(request_id, last=True)
        elif noted.startswith(WIDELY):
            tell_widely(self._ops, self._api, self._store, find_request(self._ops.view, noted.removeprefix(WIDELY)))
        else:
            self._show(noted)

    def _show(self, number: str) -> None:
        """Bring one request's card and thread up to what the log says."""
        request = find_request(self._ops.view, number)
        if request.override is not None:
            self.note(f"{WIDELY}{number}")  # by itself: neither it nor the card waits for the other
        card = self._store.card(number)
        if card is not None:
            self._check_still_ours(card.channel)
        if card is None or not self._update(request, card):
            card = self._post(request)
        try:
            if self._wants_sql(request) and not _is_shown_at(card, request):
                self._deliver_sql(request, card)  # its `shown` event brings the card back here, then with its button
            self._tell_thread(request, card)
            self._pictures.want(request, card)
        except SlackUnavailableError as error:
            if error.error in GONE:
                current = self._store.card(number) or card
                self._store.keep(replace(current, rendered=""))  # so that the next look finds out and posts it anew
            raise

    def _note_what_it_is_about(self, number: str) -> None:
        """The card of what a request goes on with or takes back says so; and that of what this one went on with, and on."""
        of = find_request(self._ops.view, number).of
        while of is not None:
            if self._store.card(of) is not None:
                self.note(of)
            of = find_request(self._ops.view, of).of

    def _page(self, request: Request, card: Card | None) -> Page:
        """The request as this card may show it: without an Approve button until the SQL is in this card's own thread."""
        backup = last_backup(self._ops.view, request.project, request.environment)
        seen = request if card is not None and _is_shown_at(card, request) else replace(request, shown=None)
        lock = lock_of(self._ops.view, request.project, request.environment, self._ops.now())
        since = afterwards_of(self._ops.view, request)
        waits = waits_of(self._ops, request)
        claims = claims_of(self._ops.view, request, self._ops.now())
        if self._may_change_by_itself(request, bool(lock or claims or waits.closed)):
            self.note(request.id, after_seconds=CLOCK_SECONDS)  # time alone changes what it says
        last = LastBackup(*backup) if backup else None
        ahead = self._queues.ahead(request) if request.status is Status.WAITING else ()
        owed, lacks = review_owed(self._ops.view, request), waits_in_vain_for(self._ops.view, request)
        return request_page(
            seen, self._ops.now(), last, lock, since, waits, claims, ahead, owed=owed, without_factor=lacks
        )

    def _may_change_by_itself(self, request: Request, has_end: bool) -> bool:
        return request.status_at(self._ops.now()) is Status.WAITING and (has_end or has_clock(self._ops, request))

    def _post(self, request: Request) -> Card:
        """A new card. Its thread is empty, so its Approve button comes with the SQL."""
        page = self._page(request, None)
        channel = channel_of(self._api, self._ops.settings, request.project)
        card = Card(request.id, channel, post(self._api, channel, page), _hash(page), None)
        self._store.keep(card)
        return card

    def _update(self, request: Request, card: Card) -> bool:
        """Bring the message up to date. False when it is gone and a new one has to be posted."""
        page = self._page(request, card)
        rendered = _hash(page)
        if rendered == card.rendered:
            return True
        self._keep_budget()
        try:
            self._api.call(
                "chat.update",
                channel=card.channel,
                ts=card.message,
                text=text_of(page),
                blocks=blocks_of(page),
                parse="none",
            )
        except SlackUnavailableError as error:
            if error.error in GONE:
                return False
            raise
        self._store.keep(replace(card, rendered=rendered))
        return True

    def _keep_budget(self) -> None:
        """Wait until one more update fits into this minute."""
        now = time.monotonic()
        while self._updates and self._updates[0] < now - 60:
            self._updates.popleft()
        if len(self._updates) >= UPDATES_PER_MINUTE:
            time.sleep(max(0.0, self._updates[0] + 60 - now))
        elif self._updates and now - self._updates[-1] < PAUSE_SECONDS / 4:
            time.sleep(PAUSE_SECONDS / 4)
        self._updates.append(time.monotonic())

    def _wants_sql(self, request: Request) -> bool:
        return request.status_at(self._ops.now()) is Status.WAITING and request.needed > 0

    def _deliver_sql(self, request: Request, card: Card) -> None:
        """The full SQL into the card's thread; only when Slack says that it is there may anybody approve."""
        slack = self._ops.settings.slack
        if slack is None:
            return
        document = clean(self._document(request))
        sha256 = hashlib.sha256(document.encode()).hexdigest()
        file = None
        if slack.sql == "file":
            file = card.file or self._upload(request, card, document, sha256)
            self._wait_until_shared(card, file)
        self._deliver_diff(request, card, slack.sql)
        data: dict[str, object] = {
            "digest": request.digest,
            "how": slack.sql,
            "channel": card.channel,
            "message": card.message,
            "file": file,
            "sha256": sha256,
        }
        self._ops.log.append([self._ops.draft("shown", Actor("system:announcer"), request, data)])

    def _document(self, request: Request) -> str:
        """What a yes stands for, whole: the SQL of a push, the sentences of an adoption."""
        return kind_of(request.kind).document(self._ops, request)

    def _deliver_diff(self, request: Request, card: Card, how: str) -> None:
        """What the rehearsal saw change in the schema, beside the SQL: as a file, or only its hash. Once a thread."""
        once = f"diff of {request.id} at {card.message}"
        diff = "" if self._store.was_told(once) else diff_text_of(self._ops.view, request)
        if not diff:
            return
        document = clean(diff) if how == "file" else diff
        sha256 = hashlib.sha256(document.encode()).hexdigest()[:16]
        if how == "file":
            comment = f"What {request.id} changes in the schema, object by object, sha256 {sha256}."
            self._api.upload(card.channel, card.message, f"{request.id}-schema.diff", document, comment)
        else:
            post(self._api, card.channel, diff_note(request, sha256), thread=card.message)
        self._store.tell(once)

    def _upload(self, request: Request, card: Card, document: str, sha256: str) -> str:
        is_sql = request.kind == PUSH and bool(request.files) and not request.plan.get("functions")
        what, stands = ("The full SQL of", "") if is_sql else ("All that", " stands for")
        comment = f"{what} {request.id}{stands}, sha256 {sha256[:16]}. Read it before you decide."
        name = f"{request.id}.{kind_of(request.kind).ending}"
        file = self._api.upload(card.channel, card.message, name, document, comment)
        self._store.keep(replace(self._store.card(request.id) or card, file=file))
        return file

    def _wait_until_shared(self, card: Card, file: str) -> None:
        """Until Slack says that the file is in the card's own thread, and not merely taken. Not for long: others wait.

        Raises SlackUnavailableError when it is not there yet; the next look asks again, or uploads it anew if it is gone.
        """
        deadline = time.monotonic() + SHARE_SECONDS
        while not _is_shared(self._file(card, file), card):
            if time.monotonic() > deadline:
                raise SlackUnavailableError("files.info", "the file is not in the thread yet")
            time.sleep(0.3)

    def _file(self, card: Card, file: str) -> object:
        try:
            return self._api.ask("files.info", file=file).get("file")
        except SlackUnavailableError as error:
            if error.error in {"file_not_found", "file_deleted"}:
                self._store.keep(replace(self._store.card(card.request) or card, file=None))
            raise

    def _tell_thread(self, request: Request, card: Card) -> None:
        """What happened, one line each, below the card."""
        told = self._told.get(request.id, 0)
        for event in self._ops.view.events(stream=stream_of(request.id), since_place=told + 1):
            page = note_of(event, request)
            if page is not None and not self._store.was_told(event.id):
                post(self._api, card.channel, page, thread=card.message)
                self._store.tell(event.id)
            self._told[request.id] = event.place


def _is_shown_at(card: Card, request: Request) -> bool:
    """Whether the SQL has reached this very message's thread; an earlier message of the request does not count."""
    shown = request.shown
    return shown is not None and (shown["channel"], shown["message"]) == (card.channel, card.message)


def _is_shared(file: object, card: Card) -> bool:
    if not isinstance(file, dict):
        return False
    shares = file.get("shares") or {}
    found = [share for kind in ("public", "private") for share in (shares.get(kind) or {}).get(card.channel, [])]
    return any(share.get("thread_ts") == card.message for share in found)


def _hash(page: Page) -> str:
    """What a card shows, in short, so that an update that would change nothing is not sent."""
    return hashlib.sha256(json.dumps(blocks_of(page), sort_keys=True).encode()).hexdigest()
