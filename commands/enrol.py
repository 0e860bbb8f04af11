"""`enrol U0BEN`: give a person a second factor, one-time codes from an authenticator app.

At the terminal, with the person beside you, by the login that runs Countersign or one that `[second_factor] enrollers` names;
never in a CI job. The QR code is shown once, there, and is in no log and in no message. Whoever reads it can make that
person's codes, so clear the screen when the app has it.

Who has a second factor gets a new one only after another person agreed: ask at the terminal, have somebody else who may
approve type `enrol U0BEN --agree` in Slack, then ask again within an hour, with the same login. Neither the person themself
nor who asked at the terminal can agree, so `[people]` must know whose login it is.

Examples:
    enrol U0BEN             make Ben's second factor and show it once
    enrol U0BEN --agree     in Slack: agree that Ben gets a new one

See also: approve, push
"""

from commands.page import Command
from commands.page import Page
from commands.page import Paragraph
from commands.page import Source
from commands.page import When
from commands.page import Who
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.enrolling import Enrolment
from ops.enrolling import agree
from ops.enrolling import enrol
from ops.enrolling import person_meant
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops

USAGE = "enrol PERSON [--agree]"
SUMMARY = "give a person one-time codes, or agree that they get new ones"
GROUP = Group.SETUP
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"agree": Option(help="in Slack: another person's yes to a new second factor")}


def run(ops: Ops, said: Said) -> Reply:
    user = person_meant(said.one("person"))
    if "agree" not in said.options:
        return _shown(enrol(ops, user, said.actor, said.act))
    if said.front is not Front.SLACK:
        raise OpsError(
            Reason.NOT_AT_THIS_FRONT,
            "`enrol --agree` does not work here: Slack proves who agrees.",
            "Type it in Slack.",
        )
    agreed = agree(ops, user, said.actor, said.act)
    page = Page(
        f"{user} may get a new second factor",
        [("Until", (When(agreed.until),)), ("Made by", (Who(agreed.asked_by), ", who asked for it"))],
        next=(Who(agreed.asked_by), " types ", Command(f"enrol {user}"), " at the terminal."),
    )
    return Reply(page, {"user": user, "until": agreed.until.isoformat(), "asked_by": agreed.asked_by})


def _shown(made: Enrolment) -> Reply:
    """The one time that the secret is seen. The page's headline is what the log keeps of an answer, so it is not in it."""
    old = "" if made.is_first else " The codes of the old one count no more."
    page = Page(
        f"{made.user} has a second factor",
        body=[
            Paragraph((f"Scan this with an authenticator app; it is not shown again.{old}",)),
            Source("", qr_text(made.url)),
            Source("Or type it in", made.url),
        ],
        next=("clear this screen when the app shows codes.",),
        tone="good",
    )
    return Reply(page, {"user": made.user, "url": made.url})


def qr_text(text: str) -> str:
    """A QR code in letters, two rows of squares in each line, for light letters on a dark screen; most apps read it the
    other way round too."""
    import segno  # here because one word needs it

    dark = [[bool(square) for square in row] for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    dark += [[False] * len(dark[0])] * (len(dark) % 2)
    letters = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    pairs = zip(dark[::2], dark[1::2], strict=True)
    return "\n".join("".join(letters[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs)
