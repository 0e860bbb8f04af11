"""The Web API methods for files: ask where to upload, upload, then share; only then do others see the file."""

from dataclasses import replace

from sandbox.slack_chat import reachable_channel
from sandbox.slack_rules import SlackError
from sandbox.slack_shapes import JSON
from sandbox.slack_state import File
from sandbox.slack_state import Message
from sandbox.slack_state import SlackState


def ask_upload(state: SlackState, body: JSON) -> JSON:
    """files.getUploadURLExternal; the server adds the `upload_url` for the id."""
    name = str(body.get("filename") or "")
    try:
        length = int(body.get("length") or 0)
    except ValueError:
        length = 0
    if not name or length < 1:
        raise SlackError("invalid_arguments", "[ERROR] filename and a length above 0 are needed")
    file = File(state.new_id("F"), name, length)
    state.files[file.id] = file
    return {"file_id": file.id}


def receive(state: SlackState, file_id: str, content: bytes) -> None:
    """The bytes of a file, once. Raises `SlackError` when the length is not the one that was announced."""
    file = state.files.get(file_id)
    if file is None or file.content is not None:
        raise SlackError("file_not_found")
    if len(content) != file.length:
        raise SlackError("file_upload_size_mismatch", f"{file.length} bytes announced, {len(content)} came")
    state.files[file_id] = replace(file, content=content)


def complete_upload(state: SlackState, body: JSON, scan_seconds: float) -> JSON:
    """files.completeUploadExternal: share uploaded files in a channel or thread; shares show after the scan."""
    wanted = body.get("files")
    if not isinstance(wanted, list) or not wanted or not all(isinstance(one, dict) for one in wanted):
        raise SlackError("invalid_arguments", "[ERROR] missing required field: files")
    ids = [str(one.get("id", "")) for one in wanted]
    for file_id in ids:
        file = state.files.get(file_id)
        if file is None or file.content is None or file.complete:
            raise SlackError("file_not_found")
    share = _share(state, body, ids) if body.get("channel_id") else None
    for one in wanted:
        file = state.files[str(one["id"])]
        state.files[file.id] = replace(
            file,
            title=str(one.get("title") or file.name),
            complete=True,
            scanned_at=state.clock() + scan_seconds,
            channel=share.channel if share else None,
            thread_ts=share.thread_ts if share else None,
            message_ts=share.ts if share else None,
        )
    return {"files": [_short_json(state, state.files[file_id]) for file_id in ids]}


def _share(state: SlackState, body: JSON, ids: list[str]) -> Message:
    channel = reachable_channel(state, body, key="channel_id")
    if channel.is_archived:
        raise SlackError("is_archived")
    if state.workspace.bot.id not in channel.members:
        raise SlackError("not_in_channel")
    thread_ts = str(body.get("thread_ts") or "") or None
    if thread_ts and thread_ts not in state.messages:
        raise SlackError("thread_not_found")
    text = str(body.get("initial_comment") or "")
    bot = state.workspace.bot.id
    message = Message(state.new_ts(), channel.id, bot, text, thread_ts=thread_ts, files=tuple(ids))
    return state.put(message)


def file_info(state: SlackState, body: JSON) -> JSON:
    """files.info. `shares` is empty until the file was shared and scanned."""
    file = state.files.get(str(body.get("file", "")))
    if file is None or file.content is None:
        raise SlackError("file_not_found")
    return {"file": _short_json(state, file)}


def _short_json(state: SlackState, file: File) -> JSON:
    shares: JSON = {}
    if file.complete and file.channel and state.clock() >= file.scanned_at:
        kind = "private" if state.workspace.channels[file.channel].is_private else "public"
        share = {"ts": file.message_ts} | ({"thread_ts": file.thread_ts} if file.thread_ts else {})
        shares = {kind: {file.channel: [share]}}
    return {
        "id": file.id,
        "name": file.name,
        "title": file.title or file.name,
        "size": file.length,
        "permalink": f"https://{state.workspace.name.lower()}.slack.com/files/{state.workspace.bot.id}/{file.id}",
        "shares": shares,
    }
