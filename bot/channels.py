"""Where pages go: which channel is a project's, whether it is our company's alone, and how a page is posted."""

from typing import Any

from bot.render import Blocks
from bot.render import blocks_of
from bot.render import text_of
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from commands.page import Page
from ops.settings import Settings

SHARED = "the channel is shared with another company"
"""In place of Slack's word for an error."""


def channel_of(api: SlackApi, settings: Settings, project: str | None) -> str:
    """Where what concerns a project goes. Raises SlackUnavailableError unless Slack says that it is our company's alone."""
    named = settings.projects.get(project or "")
    channel = (named.channel if named else None) or (settings.slack.channel if settings.slack else "")
    refuse_shared(api, channel)
    return channel


def refuse_shared(api: SlackApi, channel: str) -> None:
    """Raise SlackUnavailableError unless Slack says that this channel is our company's alone."""
    found = api.ask("conversations.info", channel=channel).get("channel")
    if not isinstance(found, dict) or found.get("is_ext_shared") or found.get("is_pending_ext_shared"):
        raise SlackUnavailableError("conversations.info", SHARED)


def post(api: SlackApi, channel: str, page: Page, *, thread: str | None = None, blocks: Blocks | None = None) -> str:
    """Post a page, below the message `thread` or by itself; the new message's `ts`. Nothing in it is unfurled.

    `blocks`: the page's own, where something was made of them.
    """
    below: dict[str, Any] = {"thread_ts": thread} if thread else {}
    answer = api.call(
        "chat.postMessage",
        channel=channel,
        text=text_of(page),
        blocks=blocks_of(page) if blocks is None else blocks,
        unfurl_links=False,
        unfurl_media=False,
        **below,
    )
    return str(answer["ts"])
