"""`audit hold`: nothing of a request or a month is erased or dropped until `audit release`."""

from audit import Log
from commands.auditing.asked import Asked
from commands.page import Page
from commands.reply import Reply
from ops.holds import hold
from ops.layer import Ops
from ops.layer import terminal_actor


def run(asked: Asked) -> Reply:
    with Log.open(asked.path) as log:
        what = hold(Ops(asked.settings, log), asked.arguments.what, asked.arguments.because, terminal_actor(asked.uid))
    return Reply(Page(f"{what} is held: nothing of it is erased or dropped"), {"held": what})
