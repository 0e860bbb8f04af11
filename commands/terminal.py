"""A word at the terminal that no other process answers: carried out in this process, which then holds the log."""

import base64
import os
import time
import uuid
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit import AuditError
from audit import Log
from audit import LogBusy
from audit import LogDamaged
from audit import NoLog
from commands.behind import logins_behind
from commands.dispatch import say
from commands.door import Door
from commands.door import line_of
from commands.knock import knock
from commands.knock import reply_json
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.reply import Reply
from commands.reply import error_reply
from commands.words import Front
from commands.words import parse
from commands.words import split_line
from ops.configuring import configured_anew
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import terminal_actor
from ops.layer import utc_now
from ops.requests import open_requests
from ops.setting_values import parse_duration
from ops.settings import Settings
from ops.status import Status
from ops.values import Value

Progress = Callable[[str], None]

PAUSE_SECONDS = 0.05


def say_or_knock(
    settings: Settings, words: Sequence[str], progress: Progress, deadline: float, *, value: Value | None = None
) -> dict[str, Any]:
    """The answer to a line, from this process, or from another that takes the log meanwhile. `value` as in `knock`.

    Raises OpsError(LOG_BUSY) when neither comes about before `deadline` (of `time.monotonic`): nothing was done.
    """
    while True:
        try:
            return reply_json(_say(settings, words, progress, value))
        except LogBusy:
            pass
        except AuditError as error:
            return reply_json(log_reply(error))
        heard = knock(settings.log_path, words, progress, deadline - time.monotonic(), value=value)
        if heard is not None:
            return heard
        if time.monotonic() >= deadline:
            raise OpsError(Reason.LOG_BUSY, "The log is busy; nothing was done.", "Try again in a moment.", exit_code=5)
        time.sleep(PAUSE_SECONDS)


def _say(settings: Settings, words: Sequence[str], progress: Progress, value: Value | None) -> Reply:
    with Log.open(settings.log_path, lock_wait_seconds=0.0) as log:
        ops = Ops(settings, log)
        try:
            door = Door(ops)
        except OSError as error:
            message = f"No door can be made beside the log {settings.log_path}: {error.strerror}. Nothing was done."
            raise OpsError(Reason.LOG_UNAVAILABLE, message, "Look at the folder, its owner and permissions.") from error
        try:
            _note_configuration(ops)
            if words[0].lower().lstrip("/") != "stop":  # which must be in the log before anything goes on
                _take_up_orphans(ops, progress)
            actor = terminal_actor(os.getuid())
            act = str(uuid.uuid4())
            line, behind = line_of(words), logins_behind(os.environ)
            with ops.values.hold(act, value):
                reply = say(ops, line, actor=actor, front=Front.TERMINAL, act=act, progress=progress, behind=behind)
            return _without_a_bot(reply) if words[0].lower() == "push" else reply
        finally:
            door.close()


def _note_configuration(ops: Ops) -> None:
    """Write down which rules hold in this process, where they are others than those that were written down last."""
    if (draft := configured_anew(ops.settings, ops.view, ops.login)) is not None:
        ops.log.append([draft])


def _take_up_orphans(ops: Ops, progress: Progress) -> None:
    try:
        if any(request.status is Status.RUNNING for request in open_requests(ops.view)):
            from ops.running import take_up_orphans  # with all that carries a run out, which most words do without

            take_up_orphans(ops, progress)
    except AuditError as error:
        progress(f"what a dead process left is left as it is: {error.message}")


def _without_a_bot(reply: Reply) -> Reply:
    """What a push answers where no bot runs: a request that waits for people is shown to them once one does."""
    if reply.data.get("status") != "waiting":
        return reply
    following: Line = (
        "as soon as the bot runs, its card appears in Slack, and people can decide there; ",
        Command("bot"),
        " starts it.",
    )
    return replace(reply, page=replace(reply.page, next=following))


def draw(words: Sequence[str], answer: dict[str, Any], progress: Progress) -> None:
    """`show … --picture FILE`: the file is this user's, so this process writes it, whoever answered. Raises OpsError.

    The answer says then where the picture is.
    """
    from commands.page_json import page_json
    from commands.page_json import read_page
    from commands.timeline import write_picture

    said = parse(split_line(line_of(words)), Front.TERMINAL)
    if "picture" in said.options:
        progress("drawing the timeline")
        file = Path(said.options["picture"]).expanduser()
        write_picture(answer["reply"], file)
        page = read_page(answer["page"])
        answer["page"] = page_json(replace(page, facts=[*page.facts, ("Picture", (Code(str(file)),))]))
        answer["reply"]["picture"] = str(file)


def save(words: Sequence[str], answer: dict[str, Any]) -> None:
    """Write the file that came with an answer: it is this user's, so this process writes it, whoever answered.

    Raises OpsError. The answer says then where it is. A file that is there is left as it is.
    """
    from commands.page_json import page_json
    from commands.page_json import read_page

    said = parse(split_line(line_of(words)), Front.TERMINAL)
    file = answer.pop("file")
    path = Path(said.options.get("out") or Path(file["name"]).name).expanduser()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(base64.b64decode(file["base64"]))
    except FileExistsError as error:
        message = f"There is already something at {path}, and it is left as it is."
        raise OpsError(Reason.BAD_USAGE, message, "Name another file with --out.") from error
    except OSError as error:
        raise OpsError(
            Reason.BAD_USAGE, f"{path} cannot be written: {error.strerror}.", "Name another file with --out."
        ) from error
    page = read_page(answer["page"])
    answer["page"] = page_json(replace(page, facts=[("File", (Code(str(path)),)), *page.facts]))
    answer["reply"]["file"] = str(path)


def follow(settings: Settings, words: Sequence[str], answer: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """`push … --wait [DURATION]`: the answer once the request is over or expired, or the time is up.

    Reads the log and holds nothing. Every other answer is returned as it is.
    """
    if not answer["request"] or answer["reply"].get("status") not in {"waiting", "running"}:
        return answer
    said = parse(split_line(line_of(words)), Front.TERMINAL)
    if said.word != "push" or "wait" not in said.options:
        return answer
    from commands.push import push_reply
    from ops.waiting import wait_for_end

    duration = said.options["wait"]
    seconds = parse_duration(duration).total_seconds() if duration else None
    try:
        found = wait_for_end(settings.log_path, answer["request"], seconds=seconds, now=utc_now, progress=progress)
    except AuditError as error:
        return reply_json(_cannot_follow(answer, error))
    reply = push_reply(found, utc_now())
    if reply.data["status"] not in {"waiting", "running"}:
        return reply_json(reply)
    told = {
        "reason": "still_waiting",
        "message": f"{found.id} is {reply.data['status']} after {duration}.",
        "hint": f"It goes on without you; see `countersign show {found.id}`.",
    }
    return reply_json(Reply(reply.page, {**reply.data, **told}, ok=False, exit_code=4, request=found.id))


def _cannot_follow(answer: dict[str, Any], error: AuditError) -> Reply:
    """The request stands, but this user or this moment does not let us read what becomes of it."""
    refused = log_reply(error)
    return Reply(refused.page, {**refused.data, "request": answer["request"]}, ok=False, exit_code=refused.exit_code)


def log_reply(error: AuditError) -> Reply:
    """What the log's own errors mean at the terminal."""
    match error:
        case NoLog():
            return error_reply(OpsError(Reason.NO_LOG, error.message, error.hint))
        case LogBusy():
            return error_reply(OpsError(Reason.LOG_BUSY, error.message, error.hint, exit_code=5))
        case LogDamaged():
            return error_reply(OpsError(Reason.LOG_DAMAGED, error.message, error.hint))
        case _:
            return error_reply(OpsError(Reason.LOG_UNAVAILABLE, error.message, error.hint))
