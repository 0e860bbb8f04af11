"""`export kind:approved env:prod`: all events for which the conditions hold, as a CSV file.

The conditions are those of `history`; `help history` tells them. In Slack the file is sent to you, and nobody else; at the
terminal it is written here. Cells that a spreadsheet would run get a `'` in front. It is all of them or nothing: where they
are too many for one file it says so, and `audit export` at the terminal writes any number.

Auditors may ask for it, approvers, and who has a login on the host of the bot. Who took what is in the log.

Examples:
    export kind:approved during:2026-Q4          the approvals of a quarter
    export request:R-7 --out /tmp/R-7.csv        everything about one request, there (terminal only)

See also: history, evidence
"""

from commands.event_history import event_file
from commands.event_history import question_of
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops

USAGE = "export [CONDITION…] [--out FILE]"
SUMMARY = "give out all events that conditions hold for, as a CSV file"
GROUP = Group.LOG
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"out": Option(".+", needed=True, takes="a file to write", help="write it there (terminal only)")}


def run(ops: Ops, said: Said) -> Reply:
    if "out" in said.options and said.front is not Front.TERMINAL:
        message = "--out names a file of the terminal's host, so it is for the terminal."
        raise OpsError(Reason.NOT_AT_THIS_FRONT, message, "Here the file is sent to you directly.")
    return event_file(ops, said, question_of(ops, said))
