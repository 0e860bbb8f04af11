"""What a person does on the page, through the fake Slack, as Slack's own client would let them."""

import re
from collections.abc import Mapping
from typing import Any

from sandbox.page_world import BadRequestError
from sandbox.page_world import World
from sandbox.slack_answer import Answer
from sandbox.slack_payloads import ImpossibleError
from sandbox.slack_shapes import JSON
from sandbox.slack_state import Message
from sandbox.slack_state import View
from sandbox.slack_workspace import Channel
from sandbox.slack_workspace import Person

Filled = Mapping[str, Mapping[str, str | list[str]]]
"""What stands in a form: by block_id, then by action_id."""

COMMAND = "/migrate"
MENTION = re.compile(r"@countersign\b\s*", re.IGNORECASE)
NOT_THERE = "operation_timeout: Countersign did not answer in time"
REACHED_NOBODY = "dispatch_failed: Slack could not reach Countersign"


def say(world: World, person: Person, channel_id: str, text: str, thread_ts: str | None) -> dict[str, str | None]:
    """Write a line: a slash command, a mention of the bot, or words to the others."""
    channel = _channel(world, person, channel_id)
    _thread(world, person, channel, thread_ts)
    words = text.strip()
    if not words:
        raise BadRequestError("There is nothing to say.")
    if words.startswith("/"):
        return _command(world, person, channel, words, thread_ts)
    if (found := MENTION.match(words)) and not channel.is_im:
        answer = world.slack.mention(person.id, channel.id, words[found.end() :], thread_ts)
        told = "Slack could not hand this to Countersign and tries again by itself." if answer.error else None
        return {"error": None, "told": told}
    state = world.slack.state
    state.put(Message(state.new_ts(), channel.id, person.id, state.workspace.escaped(words), thread_ts=thread_ts))
    told = "Countersign reads only what is said to it: /migrate … or @Countersign …"
    return {"error": None, "told": told if channel.is_im else None}


def _command(
    world: World, person: Person, channel: Channel, words: str, thread_ts: str | None
) -> dict[str, str | None]:
    """A slash command, which Slack refuses by itself in threads, when it does not know it, and to other companies."""
    name = words.split(maxsplit=1)[0]
    if thread_ts:
        error = f"Slack: {name} does not work in a thread. Write @Countersign and the words instead."
    elif name != COMMAND:
        error = f"Slack: {name} is not a valid command here."
    elif person.team_id != world.slack.workspace.team_id:
        error = f"Slack: {name} is not a valid command. Another company's app gives {person.name} no commands."
    else:
        failed = world.slack.say(person.id, words, channel.id).error
        error = f"{name} failed with the error “{failed}”" if failed else ""
        if failed:
            world.note_failure(person, channel.id, failed, error)
        return {"error": error or None, "told": None}
    return {"error": error, "told": None}


def click(world: World, person: Person, ts: str, block_id: str, action_id: str) -> dict[str, str | None]:
    """Press a button of a message."""
    state = world.slack.state
    message = state.messages.get(ts)
    if message is None or not state.sees(person.id, message):
        raise BadRequestError(f"{person.name} sees no such message.")
    try:
        return _pressed(world.slack.press(person.id, ts, block_id, action_id))
    except ImpossibleError as error:
        return {"error": f"{error}."}


def submit(world: World, person: Person, view_id: str, values: Filled) -> dict[str, Any]:
    """Submit the modal this person looks at. `errors` are shown below their inputs, and the modal stays."""
    view = _top_view(world, person, view_id)
    inputs = {block["block_id"]: block for block in view.body["blocks"] if block["type"] == "input"}
    for block_id, filled in values.items():
        if block_id not in inputs or set(filled) != {inputs[block_id]["element"]["action_id"]}:
            raise BadRequestError("This form has no such input.")
    given = {block_id: next(iter(filled.values())) for block_id, filled in values.items()}
    errors = {block_id: why for block_id, block in inputs.items() if (why := _input_error(block, given.get(block_id)))}
    if errors:
        return {"error": None, "errors": errors}
    try:
        answer = world.slack.submit(person.id, view, given)
    except ImpossibleError as error:
        return {"error": f"{error}.", "errors": {}}
    return {**_pressed(answer), "errors": answer.errors}


def _input_error(block: JSON, given: str | list[str] | None) -> str | None:
    """What Slack's client itself says below an input, before it asks the app."""
    element = block["element"]
    if given is None and (element.get("initial_value") or element.get("initial_option")):
        return None
    if not given and not block.get("optional"):
        return "Please complete this required field."
    if element["type"] != "plain_text_input" or not given:
        return None
    if len(given) < (least := element.get("min_length", 0)):
        return f"At least {least} characters, please."
    if len(given) > (most := element.get("max_length", 3_000)):
        return f"At most {most} characters, please."
    return None


def close(world: World, person: Person, view_id: str) -> dict[str, str | None]:
    """Close the modal."""
    world.slack.close(person.id, _top_view(world, person, view_id))
    return {"error": None}


def open_home(world: World, person: Person) -> dict[str, str | None]:
    """Open the app's Home tab."""
    return _pressed(world.slack.open_home(person.id))


def click_home(world: World, person: Person, block_id: str, action_id: str) -> dict[str, str | None]:
    """Press a button of the Home tab."""
    home = world.slack.home(person.id)
    if home is None:
        raise BadRequestError(f"{person.name} has no Home tab yet.")
    try:
        return _pressed(world.slack.press_view(person.id, home, block_id, action_id))
    except ImpossibleError as error:
        return {"error": f"{error}."}


def click_modal(world: World, person: Person, view_id: str, block_id: str, action_id: str) -> dict[str, str | None]:
    """Press a button inside the modal."""
    try:
        return _pressed(world.slack.press_view(person.id, _top_view(world, person, view_id), block_id, action_id))
    except ImpossibleError as error:
        return {"error": f"{error}."}


def _pressed(answer: Answer) -> dict[str, str | None]:
    """What the person sees beside a button when the bot did not take it."""
    told = {"operation_timeout": NOT_THERE, "dispatch_failed": REACHED_NOBODY}
    return {"error": told.get(answer.error, answer.error) if answer.error else None}


def _channel(world: World, person: Person, channel_id: str) -> Channel:
    channel = world.slack.workspace.channels.get(channel_id)
    if channel is None or person.id not in channel.members:
        raise BadRequestError(f"{person.name} cannot write there.")
    return channel


def _thread(world: World, person: Person, channel: Channel, thread_ts: str | None) -> None:
    if thread_ts is None:
        return
    root = world.slack.state.messages.get(thread_ts)
    if root is None or root.channel != channel.id or root.thread_ts or root.only_for:
        raise BadRequestError(f"{person.name} sees no such thread in #{channel.name}.")


def _top_view(world: World, person: Person, view_id: str) -> View:
    view = world.slack.modal(person.id)
    if view is None or view.id != view_id:
        raise BadRequestError(f"{person.name} does not look at that form any more.")
    return view
