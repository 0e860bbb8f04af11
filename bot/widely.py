"""An emergency is told widely: in the channel for emergencies, where there is one and it is our company's alone."""

import logging

from audit import Event
from bot.channels import SHARED
from bot.channels import post
from bot.channels import refuse_shared
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store
from commands.emergency_parts import overridden_page
from ops.layer import Ops
from ops.requests import Request

logger = logging.getLogger("countersign.widely")

HOPELESS = frozenset({SHARED, "channel_not_found", "not_in_channel", "is_archived", "restricted_action"})
"""What only a person can mend: the card, its thread and the letters tell it all the same. `doctor` looks at the channel."""


def tell_widely(ops: Ops, api: SlackApi, store: Store, request: Request) -> None:
    """Tell each emergency of a request once, whatever became of its note in the thread.

    Raises SlackUnavailableError for what is to be tried again.
    """
    for event in ops.view.events(stream=request.stream) if request.override is not None else []:
        once = f"{event.id} widely"
        if event.kind == "overridden" and not store.was_told(once):
            _tell(ops, api, event, request)
            store.tell(once)


def _tell(ops: Ops, api: SlackApi, event: Event, request: Request) -> None:
    channel = ops.settings.slack.emergency_channel if ops.settings.slack else None
    if channel is None:
        return
    try:
        refuse_shared(api, channel)
        post(api, channel, overridden_page(event, request))
    except SlackUnavailableError as error:
        if error.error not in HOPELESS:
            raise
        logger.error("emergency_channel_cannot_be_told channel=%s event=%s error=%s", channel, event.id, error.error)
