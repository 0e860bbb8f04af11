"""What came back to a person for one act, waiting where the bot takes its time."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import TypeVar

from sandbox.slack_delivery import Delivery
from sandbox.slack_delivery import Kind
from sandbox.slack_render import render_blocks
from sandbox.slack_render import render_mrkdwn
from sandbox.slack_shapes import JSON
from sandbox.slack_state import Message
from sandbox.slack_state import SlackState
from sandbox.slack_state import View

LOOK_AGAIN_SECONDS = 0.01

T = TypeVar("T")


def until(look: Callable[[], T | None], seconds: float) -> T | None:
    """Look again and again until there is something (true), for `seconds` of real time; None when there never was."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            return None
        time.sleep(LOOK_AGAIN_SECONDS)
    return found


def shown_text(state: SlackState, message: Message) -> str:
    """All that a person can read of a message: its text (which screen readers read) and its blocks."""
    names = state.workspace.shown
    text = render_mrkdwn(message.text, names)
    return f"{text}\n{render_blocks(list(message.blocks), names)}" if message.blocks else text


@dataclass
class Answer:
    """One act of one person and what came of it.

    `error` is what the person saw when the bot did not acknowledge (operation_timeout, dispatch_failed) or
    acknowledged with nonsense; None otherwise. `errors` are a modal's, by block_id.
    """

    state: SlackState
    user: str
    kind: Kind
    payload: JSON
    delivery: Delivery
    since: int
    response_id: str | None = None
    trigger_id: str | None = None
    thread: tuple[str, str] | None = None
    error: str | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def latency_seconds(self) -> float:
        """From handing over to the acknowledgement, or to giving up."""
        return self.delivery.latency_seconds

    def messages(self) -> list[Message]:
        """What came so far, oldest first: answers to this act, private ones to this person, replies in its thread."""
        with self.state.lock:
            said = self.state.said[self.since :]
        return [message for message, via in said if self._is_for_me(message, via)]

    def _is_for_me(self, message: Message, via: str | None) -> bool:
        if via is not None:
            return via == self.response_id
        if message.only_for is not None:
            return message.only_for == self.user
        by_bot = message.author == self.state.workspace.bot.id
        return by_bot and self.thread == (message.channel, message.thread_ts)

    def texts(self) -> list[str]:
        """Each of `messages` as a person reads it, first the error if there was one."""
        failed = [f"failed with the error “{self.error}”"] if self.error else []
        return failed + [shown_text(self.state, message) for message in self.messages()]

    def text(self, wait: float = 5.0) -> str:
        """All texts, after waiting for the first; empty when none came."""
        until(self.texts, wait)
        return "\n".join(self.texts())

    def says(self, pattern: str, wait: float = 5.0) -> re.Match[str] | None:
        """The first place where the texts match, in any case, once they do."""
        return until(lambda: re.search(pattern, "\n".join(self.texts()), re.IGNORECASE | re.DOTALL), wait)

    def modal(self, wait: float = 3.0) -> View | None:
        """The modal that this act opened, as it stands now; None when none came in time."""
        view_id = until(self._view_id, wait)
        return self.state.views[view_id] if view_id else None

    def _view_id(self) -> str | None:
        trigger = self.state.triggers.get(self.trigger_id or "")
        return trigger.view_id if trigger else None
