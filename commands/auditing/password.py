"""`audit password`: what the configuration names for a reader of `audit serve`, in place of the password."""

import getpass
import sys

from audit.serving.doors import LONGEST_PASSWORD
from audit.serving.doors import SHORTEST_PASSWORD
from audit.serving.doors import password_hash
from commands.auditing.asked import Asked
from commands.page import Code
from commands.page import Page
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason


def run(asked: Asked) -> Reply:
    """Asks twice at a terminal, once of what is piped in. Writes nothing but the hash."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise OpsError(Reason.BAD_USAGE, "These are two passwords.", "Type the same one twice.")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        message = f"A password here has {SHORTEST_PASSWORD} characters at least, and {LONGEST_PASSWORD:,} at most."
        raise OpsError(Reason.BAD_USAGE, message, "Take a longer one, such as four words.")
    made = password_hash(password)
    return Reply(Page("The hash of the password", facts=[("Hash", (Code(made),))]), {"hash": made})
