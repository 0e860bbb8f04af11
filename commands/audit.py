"""`audit create|verify|query|export…`: the log itself, at the terminal. Each action is a module of `commands/auditing/`."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TextIO

from audit import AuditError
from audit import LogBusy
from audit import LogExists
from commands.auditing import module_of
from commands.auditing.asked import Asked
from commands.knock import check_log
from commands.page import Paragraph
from commands.reply import Reply
from commands.reply import error_reply
from commands.terminal import log_reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import Settings


def run_audit(settings: Settings, arguments: argparse.Namespace, uid: int, out: TextIO) -> Reply:
    """Do one action; `export` writes its rows to `out`. Everything but `create` wants a log to be there."""
    asked = Asked(settings, arguments, uid, out)
    run: Callable[[Asked], Reply] = import_module(f"commands.auditing.{module_of(arguments.action)}").run
    try:
        if arguments.action != "create" and asked.copy is None:
            check_log(asked.path)
        return _told_unrecorded(asked, run(asked))
    except LogBusy as error:
        hint = "The bot, or another terminal, has the log: the bot signs by itself, and has to be stopped for the rest."
        return log_reply(LogBusy(error.message, hint))
    except LogExists as error:
        return error_reply(OpsError(Reason.BAD_USAGE, error.message, error.hint))
    except AuditError as error:
        return log_reply(error)
    except OpsError as error:
        return error_reply(error)


def _told_unrecorded(asked: Asked, reply: Reply) -> Reply:
    """The reply, and that the log does not say that it was read, where it does not."""
    if not asked.unrecorded:
        return reply
    why = asked.unrecorded[0]
    line = Paragraph((f"That you read it is not in the log: {why}",))
    return replace(
        reply, page=replace(reply.page, body=[*reply.page.body, line]), data={**reply.data, "unrecorded": why}
    )
