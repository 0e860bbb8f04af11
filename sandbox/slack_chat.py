"""The Web API methods that post and change messages, and the answers that come by a response_url."""

from dataclasses import replace
from typing import Any

from sandbox.slack_rules import POST_TEXT_CHARACTERS
from sandbox.slack_rules import UPDATE_TEXT_CHARACTERS
from sandbox.slack_rules import SlackError
from sandbox.slack_rules import check_message
from sandbox.slack_shapes import JSON
from sandbox.slack_state import Message
from sandbox.slack_state import SlackState
from sandbox.slack_workspace import Channel


def reachable_channel(state: SlackState, body: JSON, key: str = "channel") -> Channel:
    """The channel that the bot may see by this id. Raises `SlackError` channel_not_found, also for private ones."""
    channel = state.workspace.channels.get(str(body.get(key, "")))
    if channel is None or (channel.is_private and state.workspace.bot.id not in channel.members):
        raise SlackError("channel_not_found")
    return channel


def _postable_channel(state: SlackState, body: JSON) -> Channel:
    """Where a post goes: a channel by id or #name, or the private conversation with a person."""
    wanted = str(body.get("channel", ""))
    person = state.workspace.people.get(wanted)
    if person is not None:
        return direct_channel(state, person.id)
    try:
        channel = state.workspace.channel(wanted)
    except KeyError:
        raise SlackError("channel_not_found") from None
    reachable_channel(state, {"channel": channel.id})
    if channel.is_archived:
        raise SlackError("is_archived")
    if state.workspace.bot.id not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def direct_channel(state: SlackState, user_id: str) -> Channel:
    """The private conversation with a person. Raises `SlackError` for bots, closed accounts and unknown ids."""
    person = state.workspace.people.get(user_id)
    if person is None:
        raise SlackError("user_not_found")
    if person.is_bot:
        raise SlackError("cannot_dm_bot")
    if person.deleted:
        raise SlackError("user_disabled")
    return state.workspace.direct_channel(user_id)


def _content(state: SlackState, body: JSON, most: int) -> tuple[str, tuple[JSON, ...]]:
    """The checked text and blocks of a message.

    Blocks without text are refused, though Slack takes them: screen readers and notifications read only the text.
    """
    text, blocks = body.get("text"), body.get("blocks")
    if not isinstance(text, str) or not text.strip():
        raise SlackError("no_text")
    if len(text) > most:
        raise SlackError("msg_too_long")
    check_message(blocks or [], body.get("metadata"))
    for block in blocks or []:
        if block["type"] == "image" and "slack_file" in block and block["slack_file"]["id"] not in state.files:
            raise SlackError("invalid_blocks", "invalid slack file")
    return text, tuple(blocks or ())


def _thread(state: SlackState, channel: Channel, thread_ts: Any) -> str | None:
    if not thread_ts:
        return None
    parent = state.messages.get(str(thread_ts))
    if parent is None or parent.channel != channel.id or parent.only_for is not None:
        raise SlackError("thread_not_found")
    return parent.thread_ts or parent.ts


def post_message(state: SlackState, body: JSON) -> JSON:
    """chat.postMessage. Text over 40,000 characters is cut, as Slack does."""
    channel = _postable_channel(state, body)
    text, blocks = _content(
        state, {**body, "text": str(body.get("text") or "")[:POST_TEXT_CHARACTERS]}, POST_TEXT_CHARACTERS
    )
    message = state.put(
        Message(
            ts=state.new_ts(),
            channel=channel.id,
            author=state.workspace.bot.id,
            text=text,
            blocks=blocks,
            thread_ts=_thread(state, channel, body.get("thread_ts")),
            metadata=body.get("metadata"),
        )
    )
    return {"channel": channel.id, "ts": message.ts, "message": state.message_json(message)}


def post_ephemeral(state: SlackState, body: JSON) -> JSON:
    """chat.postEphemeral: a message that one person in the channel sees."""
    channel = _postable_channel(state, body)
    user = str(body.get("user", ""))
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    text, blocks = _content(state, body, UPDATE_TEXT_CHARACTERS)
    thread_ts = _thread(state, channel, body.get("thread_ts"))
    bot = state.workspace.bot.id
    message = state.put(Message(state.new_ts(), channel.id, bot, text, blocks, thread_ts, only_for=user))
    return {"message_ts": message.ts}


def _own_message(state: SlackState, body: JSON, code: str) -> Message:
    channel = reachable_channel(state, body)
    message = state.messages.get(str(body.get("ts", "")))
    if message is None or message.channel != channel.id or message.only_for is not None:
        raise SlackError("message_not_found")
    if message.author != state.workspace.bot.id:
        raise SlackError(code)
    return message


def update(state: SlackState, body: JSON) -> JSON:
    """chat.update. Blocks that are left out are removed; metadata that is left out stays."""
    message = _own_message(state, body, "cant_update_message")
    if state.workspace.channels[message.channel].is_archived:
        raise SlackError("is_archived")
    text, blocks = _content(state, body, UPDATE_TEXT_CHARACTERS)
    metadata = body.get("metadata", message.metadata)
    changed = state.put(replace(message, text=text, blocks=blocks, metadata=metadata))
    shown = state.message_json(changed)
    return {"channel": message.channel, "ts": message.ts, "text": text, "message": shown}


def delete(state: SlackState, body: JSON) -> JSON:
    """chat.delete, for the bot's own messages."""
    message = _own_message(state, body, "cant_delete_message")
    del state.messages[message.ts]
    return {"channel": message.channel, "ts": message.ts}


def permalink(state: SlackState, body: JSON) -> JSON:
    """chat.getPermalink."""
    channel = reachable_channel(state, body)
    ts = str(body.get("message_ts", ""))
    message = state.messages.get(ts)
    if message is None or message.channel != channel.id:
        raise SlackError("message_not_found")
    link = f"https://{state.workspace.name.lower()}.slack.com/archives/{channel.id}/p{ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def add_reaction(state: SlackState, body: JSON) -> JSON:
    """reactions.add."""
    channel = reachable_channel(state, body)
    message = state.messages.get(str(body.get("timestamp", "")))
    name = str(body.get("name", "")).strip(":")
    if message is None or message.channel != channel.id:
        raise SlackError("message_not_found")
    if not name:
        raise SlackError("invalid_name")
    if name in message.reactions:
        raise SlackError("already_reacted")
    state.messages[message.ts] = replace(message, reactions=(*message.reactions, name))
    return {}


def add_pin(state: SlackState, body: JSON) -> JSON:
    """pins.add."""
    channel = reachable_channel(state, body)
    ts = str(body.get("timestamp", ""))
    message = state.messages.get(ts)
    if message is None or message.channel != channel.id:
        raise SlackError("message_not_found")
    if ts in state.pins:
        raise SlackError("already_pinned")
    state.pins.add(ts)
    return {}


def respond(state: SlackState, response_id: str, body: JSON) -> None:
    """Carry out one POST to a response_url. Raises `SlackError`, also when the URL is used up or too old."""
    state.use_response(response_id)
    answer(state, response_id, body)


def answer(state: SlackState, response_id: str, body: JSON) -> None:
    """Say something to whoever acted: by a response_url, or inside the acknowledgement of a command.

    Only that person sees it, unless it says in_channel. The bot need not be in the channel. Raises `SlackError`.
    """
    response = state.responses[response_id]
    original = state.messages.get(response.message_ts or "")
    if body.get("delete_original") and original:
        del state.messages[original.ts]
        return
    text, blocks = _content(state, body, POST_TEXT_CHARACTERS)
    if body.get("replace_original") and original:
        state.put(replace(original, text=text, blocks=blocks), via=response_id)
        return
    alone = body.get("response_type", "ephemeral") != "in_channel"
    channel = state.workspace.channels[response.channel]
    message = Message(
        ts=state.new_ts(),
        channel=channel.id,
        author=state.workspace.bot.id,
        text=text,
        blocks=blocks,
        thread_ts=_thread(state, channel, body.get("thread_ts")),
        only_for=response.user if alone else None,
    )
    state.put(message, via=response_id)
