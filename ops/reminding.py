"""Reminders: whoever can still say yes to a waiting request hears of it at half and at nine tenths of its time.

In their own working hours: later where the moment is outside them, or in the last working hour before it where the time
would be up by then. Once for each of the two; who is told both at the same moment is told once.
"""

import time
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from audit import Draft
from audit import Event
from audit import View
from ops.clearance import may_approve
from ops.errors import OpsError
from ops.layer import Ops
from ops.people import Actor
from ops.requests import Request
from ops.requests import find_request
from ops.requests import fold
from ops.requests import stream_of
from ops.status import Status
from ops.working_hours import is_working
from ops.working_hours import last_hour_before
from ops.working_hours import next_working
from ops.working_hours import zone_named

SHARES: Mapping[str, float] = MappingProxyType({"half": 0.5, "nine_tenths": 0.9})
"""The parts of a request's time after which people are reminded, in order."""

ZONE_SECONDS = 3600.0
"""So long what Slack said of somebody's time zone serves."""

YOUNG = timedelta(minutes=10)
"""So long, or half of its time where that is less, a card that was just posted says it all."""

PAUSE_SECONDS = 60.0
"""So long a request is left alone about which Slack did not answer."""


def reminder_at(asked: datetime, expires: datetime, share: str, zone: ZoneInfo) -> datetime:
    """When somebody in this zone is reminded of a request; after `expires` where they do not work at all until then."""
    moment = asked + (expires - asked) * SHARES[share]
    at = next_working(moment, zone)
    if at < expires:
        return at
    earliest = asked if share == "half" else reminder_at(asked, expires, "half", zone)
    last = max(earliest, last_hour_before(moment, zone))
    return last if is_working(last, zone) else at


def share_due(asked: datetime, expires: datetime, zone: ZoneInfo, now: datetime) -> str | None:
    """The last share whose reminder is due in this zone at this moment, or None."""
    if now >= expires or not is_working(now, zone):
        return None
    due = [share for share in SHARES if reminder_at(asked, expires, share, zone) <= now]
    return due[-1] if due else None


def not_yet_reminded(events: Iterable[Event], person: str, share: str) -> bool:
    """Whether a person still has to hear that this share of the time is over. Who heard of a later one does not."""
    order = list(SHARES)
    heard = [order.index(one.data["share"]) for one in events if _is_reminder_of(one, person) and one.data]
    return order.index(share) > max(heard, default=-1)


def _is_reminder_of(event: Event, person: str) -> bool:
    return event.kind == "reminded" and person in (event.data or {}).get("to", ())


class Reminders:
    """Looks after the waiting requests. Every decision is made from the log anew; only time zones are remembered."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._zones: dict[str, tuple[float, str | None]] = {}
        self._paused: dict[str, float] = {}

    def look(self) -> None:
        """Write down who is to be reminded now. What Slack does not answer for keeps no other request back."""
        for number in self._ops.view.open_requests():
            if number in self._ops.active or time.monotonic() < self._paused.get(number, 0.0):
                continue
            events = self._ops.view.events(stream=stream_of(number))
            try:
                self._remind(fold(events), events)
            except OpsError:
                self._paused[number] = time.monotonic() + PAUSE_SECONDS

    def _remind(self, request: Request, events: Sequence[Event]) -> None:
        now = self._ops.now()
        if request.status_at(now) is not Status.WAITING or request.shown is None or not request.waits_for_people:
            return
        if now < request.requested_at + min(YOUNG, (request.expires_at - request.requested_at) / 2):
            return
        due: dict[str, list[str]] = {}
        for person in request.eligible:
            if person.startswith("os:") or request.approved_by(person) is not None or not request.lacks(person):
                continue
            zone = zone_named(self._zone(person), self._zone_of_all())
            share = share_due(request.requested_at, request.expires_at, zone, now)
            if share is not None and not_yet_reminded(events, person, share):
                due.setdefault(share, []).append(person)
        for share, people in due.items():
            self._note(request, share, self._who_can_act(request, people, now))

    def _note(self, request: Request, share: str, people: Sequence[str]) -> None:
        """Write a reminder down; telling follows the log."""

        def decide(view: View) -> list[Draft]:
            fresh = find_request(view, request.id)
            events = view.events(stream=request.stream)
            to = [one for one in people if not_yet_reminded(events, one, share) and fresh.approved_by(one) is None]
            if fresh.status_at(self._ops.now()) is not Status.WAITING or not to:
                return []
            data = {"share": share, "to": to, "expires_at": fresh.expires_at.isoformat()}
            return [self._ops.draft("reminded", Actor("system:clock"), fresh, data)]

        self._ops.log.transact(decide)

    def _who_can_act(self, request: Request, people: Sequence[str], now: datetime) -> list[str]:
        """Of these, whose yes would count just now, by the same rules as a click."""
        given = tuple(one.by.user for one in request.approvals)
        directory = self._ops.directory(request.deciders, users=(*people, *given), members=False)
        requester_is = self._ops.requester_is(request.by)
        return [
            who
            for who in people
            if may_approve(request, Actor(f"slack:T0/{who}"), directory, requester_is, now).allowed
        ]

    def _zone(self, person: str) -> str | None:
        at, zone = self._zones.get(person, (float("-inf"), None))
        if time.monotonic() > at + ZONE_SECONDS:
            zone = self._ops.people.person(person).zone
            self._zones[person] = (time.monotonic(), zone)
        return zone

    def _zone_of_all(self) -> str:
        slack = self._ops.settings.slack
        return slack.time_zone if slack else "UTC"
