"""From a line that somebody typed to the reply: written down first, then done, then the answer written down."""

import logging
import uuid
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

from audit import AuditError
from audit import Draft
from audit import LogBusy
from audit import NoLog
from commands.page import Page
from commands.page_words import hint_line
from commands.reply import Reply
from commands.reply import error_reply
from commands.secret_line import without_value
from commands.words import Front
from commands.words import Said
from commands.words import all_words
from commands.words import parse
from commands.words import split_line
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import record_refusal
from ops.masking import mask_intake
from ops.people import Actor
from ops.requesting import check_member
from ops.targets import target_names

logger = logging.getLogger("countersign.commands")

TEXT_KEPT = 2000
"""So many characters of a typed line are kept; nobody types more on purpose."""


HEAVY = frozenset(
    {
        *("adopt", "backup", "diff", "drift", "evidence", "export", "health", "plan", "population"),
        *("push", "record", "restore", "resume", "rollback"),
    }
)
"""The words that may have a throw-away server at work for minutes, ask a dozen doors, or read all of the log. Whoever decides
or looks never waits behind them."""


def is_heavy(text: str) -> bool:
    """Whether a typed line is such a word, read as `answer` reads it."""
    if len(text) > TEXT_KEPT:
        return False  # refused as it is
    try:
        words = split_line(text)
    except OpsError:
        return False
    word = words[0].lower().lstrip("/") if words else ""
    return word in HEAVY or (word == "backups" and "--check" in words)


def crowded(ops: Ops, text: str, *, actor: Actor, act: str) -> Reply:
    """The answer to such a word where too many wait already; nothing was begun."""

    def refuse() -> Reply:
        raise OpsError(
            Reason.TARGET_BUSY,
            "Too many plans and comparisons wait already, so this one was not begun.",
            "Ask again in a few minutes; to approve, reject, stop and look takes no place among them.",
            exit_code=5,
        )

    return guarded(ops, refuse, actor=actor, act=act, word=_word_of(text))


def commanded(
    text: str,
    actor: Actor,
    front: Front,
    channel: str | None = None,
    *,
    thread: str | None = None,
    behind: Sequence[str] = (),
    environments: Collection[str] = (),
) -> Draft:
    """The event of a typed line: the word if it is one, its arguments, and the text, all masked before anything is stored.

    `environments` are the names that a line about secrets may begin with; what is none of them may be a value there.
    """
    kept = without_value(text[:TEXT_KEPT].replace("\x00", ""), environments)
    try:
        words = split_line(kept)
        word = words[0].lower().lstrip("/") if words else "help"
    except OpsError:
        words, word = [], ""
    known = word in all_words()
    return Draft(
        kind="commanded",
        actor=actor.id,
        stream="people",
        data={
            "word": word if known else "",
            "arguments": [mask_intake(argument) for argument in words[1:]] if known else [],
            "text": mask_intake(kept),
            "front": front.value,
            "channel": channel,
            "thread": thread,
            **({"behind": list(behind)} if behind else {}),
        },
    )


def say(
    ops: Ops,
    text: str,
    *,
    actor: Actor,
    front: Front,
    act: str,
    progress: Callable[[str], None] = lambda _: None,
    is_crowded: bool = False,
    behind: Sequence[str] = (),
) -> Reply:
    """Write a typed line down, then answer it. For the terminal; Slack's intake writes it down before it acks.

    `is_crowded`: there is no place for it, and that is the answer. `behind`: see `ops.behind`.
    """
    try:
        said = commanded(text, actor, front, behind=behind, environments=target_names(ops.settings))
        ops.log.append([said], id=act)
    except AuditError as error:
        return unrecorded(error)
    if is_crowded:
        return crowded(ops, text, actor=actor, act=act)
    return answer(ops, text, actor=actor, front=front, act=act, progress=progress)


def answer(
    ops: Ops, text: str, *, actor: Actor, front: Front, act: str, progress: Callable[[str], None] = lambda _: None
) -> Reply:
    """Do what a line that is already in the log says, and record the answer. Always replies, whatever happens."""

    def work() -> Reply:
        if len(text) > TEXT_KEPT or "\x00" in text:
            message = f"That line is longer than {TEXT_KEPT} letters or has a NUL in it, and only so much is recorded."
            raise OpsError(Reason.BAD_USAGE, message, "Say it shorter.")
        if front is Front.SLACK:
            check_member(ops, actor)
        return run_line(ops, text, actor, front, act, progress)

    return guarded(ops, work, actor=actor, act=act, word=_word_of(text))


def run_line(
    ops: Ops, text: str, actor: Actor, front: Front, act: str, progress: Callable[[str], None] = lambda _: None
) -> Reply:
    """What the word of a line answers; that there is nothing to do is an answer too. Raises OpsError, AuditError and what
    nobody foresaw; writes no answer down."""
    parsed = parse(split_line(text), front)
    if "remote" in parsed.options:  # the terminal never says it to us: it asks there instead
        message = "--remote asks a bot elsewhere, and this one is asked already."
        raise OpsError(Reason.NOT_AT_THIS_FRONT, message, "Leave --remote out.")
    said = Said(parsed.word, parsed.arguments, parsed.options, actor, front, act, progress)
    try:
        return all_words()[parsed.word].run(ops, said)
    except NothingToDoError as found:
        page = Page(found.message.rstrip("."), next=hint_line(found.hint), tone="good")
        return Reply(page, {"request": None, "status": "nothing_to_do", "message": found.message})


def guarded(ops: Ops, work: Callable[[], Reply], *, actor: Actor, act: str, word: str) -> Reply:
    """Run `work`, turn every error into a reply, and write the answer (and a refusal) down."""
    reply: Reply | None = None
    try:
        try:
            reply = work()
        except OpsError as error:
            reply = error_reply(error)
            record_refusal(ops, actor, act, word, error)
        except AuditError:
            raise
        except Exception:
            reply = unexpected(act)
        ops.log.append([_answered(act, reply)], id=f"{act}:answered")
    except AuditError as error:
        # What was done before the log failed is not undone by that, so its own answer is the true one.
        return reply or unrecorded(error)
    return reply


def unexpected(act: str) -> Reply:
    """An error that nobody foresaw: the operator finds it in the process's log by the reference, the person is told it."""
    reference = uuid.uuid4().hex[:8]
    logger.exception("unexpected_error reference=%s act=%s", reference, act)
    error = OpsError(
        Reason.UNEXPECTED,
        f"Something went wrong that nobody foresaw (reference {reference}).",
        "Look at `status`; whoever runs the bot finds the reference in its log.",
        exit_code=1,
    )
    return error_reply(error)


def unrecorded(error: AuditError) -> Reply:
    """The log could not take it, so it was not done."""
    message = f"The audit log could not record this, so nothing was done: {error.message}"
    match error:
        case NoLog():
            return error_reply(OpsError(Reason.NO_LOG, message, error.hint))
        case LogBusy():
            return error_reply(OpsError(Reason.LOG_BUSY, message, error.hint, exit_code=5))
        case _:
            return error_reply(OpsError(Reason.LOG_UNAVAILABLE, message, error.hint))


def _answered(act: str, reply: Reply) -> Draft:
    return Draft(
        kind="answered",
        actor="system:commands",
        stream="people",
        request=reply.request,
        data={"to": act, "ok": reply.ok, "reason": reply.reason, "message": reply.page.headline[:500]},
    )


def _word_of(text: str) -> str:
    words = text.split()
    word = words[0].lower().lstrip("/") if words else "help"
    return word if word in all_words() else ""
