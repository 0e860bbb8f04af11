"""Links to the page on which the value of a secret is entered: for one person, good once and for ten minutes, in memory."""

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

from ops.people import Actor

GOOD_FOR = timedelta(minutes=10)
MOST = 200
"""So many links at a time; of more, the oldest is good no longer."""


@dataclass(frozen=True)
class ValueLink:
    """Whose link it is, for which request, and until when. `ticket` is that of the form that was shown last, "" before."""

    request: str
    actor: Actor
    until: datetime
    ticket: str = ""


class ValueLinks:
    """By a hash of the token, so that nothing in memory is a link. Any thread may ask."""

    def __init__(self) -> None:
        self._links: dict[str, ValueLink] = {}
        self._mutex = threading.Lock()

    def make(self, request: str, actor: Actor, now: datetime) -> tuple[str, datetime]:
        """A token that nobody can guess, and until when it is good. An earlier one of the same person is good no longer."""
        token = secrets.token_urlsafe(32)
        link = ValueLink(request, actor, now + GOOD_FOR)
        with self._mutex:
            same = [key for key, one in self._links.items() if (one.request, one.actor) == (request, actor)]
            over = [key for key, one in self._links.items() if one.until <= now]
            for key in {*same, *over, *list(self._links)[: max(0, len(self._links) - MOST + 1)]}:
                del self._links[key]
            self._links[_key(token)] = link
        return token, link.until

    def shown(self, token: str, now: datetime) -> ValueLink | None:
        """The link with the ticket of a new form, in place of any form before; None where the token is not good now."""
        with self._mutex:
            link = self._links.get(_key(token))
            if link is None or link.until <= now:
                return None
            link = ValueLink(link.request, link.actor, link.until, secrets.token_urlsafe(32))
            self._links[_key(token)] = link
            return link

    def take(self, token: str, ticket: str, now: datetime) -> ValueLink | None:
        """The link, which is used up with that; None where the token is not good now, or the form is another one."""
        with self._mutex:
            link = self._links.get(_key(token))
            is_good = link is not None and now < link.until and link.ticket
            if link is None or not is_good or not secrets.compare_digest(link.ticket.encode(), ticket.encode()):
                return None
            return self._links.pop(_key(token))


def _key(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
