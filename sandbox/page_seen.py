"""What one person sees of the workspace: channels, messages, files, the open modal, the home tab."""

from typing import Any

from sandbox.page_world import PARTNER_CHANNEL
from sandbox.page_world import SLACKBOT
from sandbox.page_world import BadRequestError
from sandbox.page_world import World
from sandbox.slack_state import File
from sandbox.slack_state import Message
from sandbox.slack_state import View
from sandbox.slack_workspace import Channel
from sandbox.slack_workspace import Person

ROLES = {
    "U0ANA": "asks for deploys",
    "U0BEN": "owns the databases, approves",
    "U0CHI": "owns the databases, approves",
    "U0DEE": "full member, approves nothing",
    "U0AUDRA": "auditor",
    "U0GUS": "guest",
    "U0OTTO": "works for another company",
}
TOPICS = {
    "C0DEPLOYS": "Deploys of the shop: /migrate help",
    PARTNER_CHANNEL.id: "Shared with another company. Cards and files never come here",
}


def state_json(world: World, person: Person) -> dict[str, Any]:
    """All that this person sees; the guide is added by who serves it."""
    revision = world.revision()  # before the rest, so that nobody waits for what changed in between
    state = world.slack.state
    with state.lock:
        messages = [message for message in state.messages.values() if state.sees(person.id, message)]
        edited = _edited(world)
        shown = [_message(world, message, person, edited) for message in messages]
        home, modal = world.slack.home(person.id), world.slack.modal(person.id)
    return {
        "revision": revision,
        "clock": {"now": world.clock.now().isoformat(), "ahead_seconds": world.clock.ahead_seconds()},
        "me": person.id,
        "people": [_person(world, one) for one in world.slack.workspace.people.values() if not one.is_bot],
        "names": _names(world),
        "channels": [_channel(channel, person) for channel in _channels(world, person)],
        "messages": shown,
        "home": {"hash": home.hash, "blocks": home.body["blocks"]} if home else None,
        "modal": _modal(modal) if modal else None,
        "bot": {"up": world.bot_pid() is not None, "pid": world.bot_pid(), "restarts": world.restarts},
        "faults": world.faults(),
    }


def open_file(world: World, person: Person, file_id: str) -> tuple[str, bytes]:
    """The name and bytes of a shared file that this person sees. Raises BadRequestError for any other."""
    state = world.slack.state
    with state.lock:
        file = state.files.get(file_id)
        is_seen = any(file_id in one.files and state.sees(person.id, one) for one in state.messages.values())
    if file is None or file.content is None or not (file.complete and is_seen):
        raise BadRequestError("There is no such file, or it is not for this person.")
    if file.name.endswith(".sql"):
        world.note_look("sql")
    return file.name, file.content


def outside(world: World, person: Person) -> str | None:
    """Why somebody is no full member of the company, in two words; None for a full member."""
    if person.is_stranger or person.team_id != world.slack.workspace.team_id:
        return "other company"
    return "guest" if person.is_restricted or person.is_ultra_restricted else None


def _person(world: World, person: Person) -> dict[str, Any]:
    why = outside(world, person)
    role = ROLES.get(person.id, "")
    return {
        "id": person.id,
        "name": person.name,
        "role": role,
        "tz": person.tz,
        "can_act": why is None,
        "outside": why,
    }


def _names(world: World) -> dict[str, str]:
    workspace = world.slack.workspace
    ids = [
        *workspace.people,
        *workspace.groups,
        *(one.id for one in list(workspace.channels.values()) if not one.is_im),
    ]
    return {one: workspace.shown(one) for one in ids} | {SLACKBOT: "Slackbot"}


def _channels(world: World, person: Person) -> list[Channel]:
    """Their own channels, the company's public ones too for a full member, and their conversation with the bot."""
    workspace = world.slack.workspace
    if not person.is_stranger:
        workspace.direct_channel(person.id)
    return [
        one
        for one in list(workspace.channels.values())
        if person.id in one.members or not (one.is_im or one.is_private or outside(world, person))
    ]


def _channel(channel: Channel, person: Person) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": "Countersign" if channel.is_im else channel.name,
        "is_im": channel.is_im,
        "is_member": person.id in channel.members,
        "topic": TOPICS.get(channel.id, ""),
    }


def _edited(world: World) -> set[str]:
    """The messages that were said more than once."""
    once: set[str] = set()
    again: set[str] = set()
    for said in world.slack.state.said:
        (again if said.message.ts in once else once).add(said.message.ts)
    return again


def _message(world: World, message: Message, person: Person, edited: set[str]) -> dict[str, Any]:
    state = world.slack.state
    author = state.workspace.people.get(message.author)
    files = [state.files[file_id] for file_id in message.files]
    return {
        "ts": message.ts,
        "channel": message.channel,
        "author": message.author,
        "author_name": author.name if author else "Slackbot",
        "is_bot": author is None or author.is_bot,
        "text": message.text,
        "blocks": list(message.blocks),
        "thread_ts": message.thread_ts,
        "only_for_me": message.only_for is not None,
        "edited": message.ts in edited,
        "files": [_file(file, person) for file in files if state.clock() >= file.scanned_at],
        "failed": world.failed.get(message.ts),
    }


def _file(file: File, person: Person) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "title": file.title or file.name,
        "length": file.length,
        "url": f"/api/file/{file.id}?as={person.id}",
    }


def _modal(view: View) -> dict[str, Any]:
    body = view.body
    return {
        "id": view.id,
        "hash": view.hash,
        "title": body["title"]["text"],
        "submit": body["submit"]["text"] if "submit" in body else None,
        "close": body["close"]["text"] if "close" in body else "Cancel",
        "blocks": body["blocks"],
    }
