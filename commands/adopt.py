"""`adopt prod`: make the history and schema that a target has now the baseline that people approved.

For a project that was deployed before Countersign came, and after changes that were made past it. Nothing on the target
is changed. The log gets an entry that people answered for: which migrations are applied and known byte for byte, and,
in plain sentences, what nobody can say about the rest. From then on a change that is not ours stands out, and `after`
counts what was adopted.

Only people whom the environment names as `overriders` may ask, in Slack; approvals are those of a push.

Examples:
    adopt prod            look, and ask to adopt what is there
    adopt shop/staging    the same where several projects are configured

See also: drift, history, push
"""

from dataclasses import replace

from commands.next_parts import card_line
from commands.page import Code
from commands.page import Listing
from commands.page import Page
from commands.page_words import migrations
from commands.push import push_reply
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.adopting import Adoption
from ops.adopting import request_adoption
from ops.gates import Verdict
from ops.gates import waits_of
from ops.layer import Ops
from ops.requests import Request
from ops.running import carry_out
from ops.status import Status
from ops.targets import find_target

USAGE = "adopt ENVIRONMENT"
SUMMARY = "ask to make what a target has now the approved baseline"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    found, request = request_adoption(ops, target, said.actor, said.act, progress=said.progress)
    if not request.needed and request.status is Status.WAITING:
        request = carry_out(ops, request.id, said.progress)
    reply = push_reply(request, ops.now())
    if request.status_at(ops.now()) is Status.WAITING:
        return replace(reply, page=_asked_page(found, request, waits_of(ops, request)))
    return reply


def _asked_page(found: Adoption, request: Request, waits: Verdict) -> Page:
    """What the asker needs to know: what is known, what is not, and who decides now."""
    return Page(
        f"{request.id} is asked for: adopt {found.target.name} as it is",
        facts=[
            ("Applied", (migrations(len(found.rows)),)),
            ("Known byte for byte", (migrations(len(found.versions)),)),
            ("Commit", (Code(found.commit[:12]),)),
        ],
        body=[Listing("What nobody can say", [(one,) for one in found.unknown])],
        next=card_line(request, waits),
    )
