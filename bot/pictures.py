"""The timeline of a run as a picture in its thread, drawn and sent beside the work: cards never wait for it."""

import logging
import threading
from datetime import timedelta
from queue import SimpleQueue

from audit import AuditError
from bot.channels import refuse_shared
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Card
from bot.store import Store
from commands.timeline import timeline_json
from commands.timeline import timeline_picture
from ops.errors import OpsError
from ops.layer import Ops
from ops.requests import Request
from ops.status import Status
from ops.timeline import Timeline
from ops.timeline import timeline_of

logger = logging.getLogger("countersign.pictures")

FROM_SECONDS = 2.0
"""A shorter run that went well and waited for nobody is told by its card; its picture would say nothing more."""

WITHIN = timedelta(hours=1)
"""Older runs keep their threads as they are, so that a new start does not draw them all."""


class Pictures:
    """Draws one at a time. What fails is tried again when the card is looked at again, and at the next start."""

    def __init__(self, ops: Ops, api: SlackApi, store: Store) -> None:
        self._ops = ops
        self._api = api
        self._store = store
        self._wanted: SimpleQueue[tuple[Request, Card]] = SimpleQueue()
        self._asked: set[str] = set()
        # A daemon: the bot's end does not wait for a picture.
        threading.Thread(target=self._work, name="pictures", daemon=True).start()

    def want(self, request: Request, card: Card) -> None:
        """Returns at once; the picture of a run that is over comes later, once."""
        if request.id in self._asked or not self._is_due(request):
            return
        self._asked.add(request.id)
        self._wanted.put((request, card))

    def _is_due(self, request: Request) -> bool:
        if not request.is_over or request.started_at is None or request.ended_at is None:
            return False
        return self._ops.now() - request.ended_at < WITHIN and self._store.picture(request.id) is None

    def _work(self) -> None:
        while True:
            self._draw(*self._wanted.get())

    def _draw(self, request: Request, card: Card) -> None:
        try:
            timeline = timeline_of(self._ops.view.events(stream=request.stream))
            if timeline is None or not _says_more_than_the_card(request, timeline):
                return
            cache = self._ops.settings.path(self._ops.settings.state.path).parent / "pictures"
            found = timeline_json(request, timeline)
            picture = timeline_picture(found, cache)
            refuse_shared(self._api, card.channel)
            name = f"{request.id}-timeline.png"
            file = self._api.upload(
                card.channel, card.message, name, picture, "When this run did what.", described=found["title"]
            )
            self._store.keep_picture(request.id, file)
        except (SlackUnavailableError, OpsError, AuditError) as error:
            logger.warning("picture_not_shown request=%s error=%s", request.id, error)
            self._asked.discard(request.id)
        except Exception:
            logger.exception("picture_failed request=%s", request.id)


def _says_more_than_the_card(request: Request, timeline: Timeline) -> bool:
    return request.status is not Status.SUCCEEDED or timeline.seconds > FROM_SECONDS or timeline.waited_seconds > 0
