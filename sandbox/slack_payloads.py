"""What Slack sends to an app when people type, press, submit and mention (shapes: docs.slack.dev, read 2026-11-22)."""

import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.slack_shapes import JSON
from sandbox.slack_state import Message
from sandbox.slack_state import SlackState
from sandbox.slack_state import View
from sandbox.slack_workspace import Person


class ImpossibleError(Exception):
    """Slack's client would not let this person do that: no such button, no such view, not in the channel…"""


def command(state: SlackState, user: str, words: str, channel: str, response: str, trigger: str) -> JSON:
    """A slash command. `words` is all that was typed, escaped, with the command first."""
    name, _, text = words.strip().partition(" ")
    person = state.workspace.people.get(user)
    return {
        "token": "sandbox",
        "team_id": person.team_id if person else state.workspace.team_id,
        "team_domain": state.workspace.name.lower(),
        "channel_id": channel,
        "channel_name": state.workspace.channels[channel].name or "directmessage",
        "user_id": user,
        "user_name": person.handle if person else user.lower(),
        "command": name,
        "text": text.strip(),
        "api_app_id": state.app_id,
        "is_enterprise_install": "false",
        "response_url": response,
        "trigger_id": trigger,
    }


def _who(state: SlackState, user: str) -> JSON:
    """The parts of every interaction that name the person, also when nobody has that id."""
    person = state.workspace.people.get(user) or Person(user, user, state.workspace.team_id)
    handle = person.handle
    return {
        "team": {"id": person.team_id, "domain": state.workspace.name.lower()},
        "user": {"id": user, "username": handle, "name": handle, "team_id": person.team_id},
        "api_app_id": state.app_id,
        "token": "sandbox",
        "enterprise": None,
        "is_enterprise_install": False,
    }


def button_in_message(
    state: SlackState, user: str, message: Message, action: JSON, values: JSON, response: str, trigger: str
) -> JSON:
    """A pressed button of a message. A message that one person sees does not come along, as in Slack."""
    alone = message.only_for is not None
    container: JSON = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel,
        "is_ephemeral": alone,
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    name = state.workspace.channels[message.channel].name or "directmessage"
    payload: JSON = {
        "type": "block_actions",
        **_who(state, user),
        "container": container,
        "channel": {"id": message.channel, "name": name},
        "trigger_id": trigger,
        "response_url": response,
        "state": {"values": values},
        "actions": [action],
    }
    return payload if alone else payload | {"message": state.message_json(message)}


def button_in_view(state: SlackState, user: str, view: View, action: JSON, values: JSON, trigger: str) -> JSON:
    """A pressed button of a modal or home tab."""
    shown = {**state.view_json(view), "state": {"values": values}}
    return {
        "type": "block_actions",
        **_who(state, user),
        "container": {"type": "view", "view_id": view.id},
        "trigger_id": trigger,
        "view": shown,
        "actions": [action],
    }


def action_of(element: Mapping[str, Any], block_id: str, at: float) -> JSON:
    """The entry of `actions` for a pressed button."""
    action: JSON = {
        "type": "button",
        "action_id": element["action_id"],
        "block_id": block_id,
        "text": element["text"],
        "action_ts": f"{at:.6f}",
    }
    return action | {key: element[key] for key in ("value", "style", "url") if key in element}


def submission(state: SlackState, user: str, view: View, values: JSON, trigger: str) -> JSON:
    """A submitted modal with what was filled in."""
    return {
        "type": "view_submission",
        **_who(state, user),
        "trigger_id": trigger,
        "view": {**state.view_json(view), "state": {"values": values}},
        "response_urls": [],
    }


def message_shortcut(
    state: SlackState, user: str, message: Message, callback_id: str, response: str, trigger: str
) -> JSON:
    """A shortcut that was chosen from the menu of a message."""
    name = state.workspace.channels[message.channel].name or "directmessage"
    return {
        "type": "message_action",
        **_who(state, user),
        "callback_id": callback_id,
        "trigger_id": trigger,
        "response_url": response,
        "message_ts": message.ts,
        "channel": {"id": message.channel, "name": name},
        "message": state.message_json(message),
    }


def closing(state: SlackState, user: str, view: View, cleared: bool) -> JSON:
    """A modal that was closed by its person."""
    return {"type": "view_closed", **_who(state, user), "view": state.view_json(view), "is_cleared": cleared}


def event(state: SlackState, what: JSON) -> JSON:
    """The envelope of an event; `event_id` is the same when it is delivered again."""
    channel = state.workspace.channels.get(str(what.get("channel", "")))
    return {
        "token": "sandbox",
        "team_id": state.workspace.team_id,
        "api_app_id": state.app_id,
        "event": what,
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(state.clock()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": state.workspace.team_id,
                "user_id": state.workspace.bot.id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": bool(channel and channel.is_ext_shared),
        "event_context": "sandbox",
    }


# --- what was filled in -----------------------------------------------------------------------------


def filled_in(blocks: list[JSON], values: Mapping[str, str | list[str]], all_needed: bool = True) -> JSON:
    """`state.values` for the inputs of these blocks; `all_needed` is for modals, messages take empty inputs.

    `values` is by block_id, action_id or label; a choice is named by its value or its words. What is not given
    keeps its initial value. Raises `ImpossibleError` for unknown inputs and choices, and where a needed one is empty.
    """
    left = dict(values)
    state: JSON = {}
    empty = []
    for block in blocks:
        if block["type"] != "input":
            continue
        element = block["element"]
        names = (block["block_id"], element["action_id"], block["label"]["text"])
        given = next((left.pop(name) for name in names if name in left), None)
        answer = _input_value(element, given)
        if not block.get("optional") and not any(answer.values()):
            empty.append(block["label"]["text"])
        state[block["block_id"]] = {element["action_id"]: {"type": element["type"], **answer}}
    if left:
        raise ImpossibleError(f"there is no input called {sorted(left)}")
    if empty and all_needed:
        raise ImpossibleError(f"{empty} must be filled in")
    return state


def _input_value(element: JSON, given: str | list[str] | None) -> JSON:
    if element["type"] == "plain_text_input":
        return {"value": _typed(element, given)}
    if element["type"] == "checkboxes":
        if given is None:
            return {"selected_options": element.get("initial_options", [])}
        wanted = [given] if isinstance(given, str) else given
        return {"selected_options": [_option(element, one) for one in wanted]}
    if given is None:
        return {"selected_option": element.get("initial_option")}
    return {"selected_option": _option(element, str(given))}


def _typed(element: JSON, given: str | list[str] | None) -> str | None:
    text = str(given) if given is not None else str(element.get("initial_value", ""))
    if text and not element.get("min_length", 0) <= len(text) <= element.get("max_length", 3_000):
        raise ImpossibleError(f"{len(text)} characters are too many or too few here")
    return text or None


def _option(element: JSON, wanted: str) -> JSON:
    for option in element["options"]:
        if wanted in (option["value"], option["text"]["text"]):
            found: JSON = option
            return found
    raise ImpossibleError(f"there is no choice {wanted!r}")
