"""`resume R-7`: ask to run what is left of a request that ended half-way.

The card of such a request lists its statements: which are on the target, which are not. What is there is not run again;
the rest runs as one request of its own, with its own approvals, its own rehearsal and its own backup. The history row
is written when all of the file is there.

If the file itself was wrong, mend it in a new commit behind what ran, and name that commit: the statements that ran
must be unchanged in it. Where the log cannot say whether a statement did its work, look at the target as the card
says, and give the number of the file's first statements that are there; the card then says that it is your word.

A request that failed whole leaves nothing, so there is nothing to go on with: push again.

Examples:
    resume R-7                     run what is left, as it was asked for
    resume R-7 --commit 4e1b2c9    run what is left as it stands in this commit
    resume R-7 --done 2            the first two statements of the half file are there: you looked

See also: rollback, clean, cancel, show
"""

from commands.asked import asked_reply
from commands.reply import Reply
from commands.words import COMMIT
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.kinds.resume import request_resume
from ops.layer import Ops
from ops.requests import find_request

USAGE = "resume R-NUMBER [--commit SHA] [--done N]"
SUMMARY = "ask to run what is left of a request that ended half-way"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "commit": COMMIT,
    "done": Option(
        "[0-9]{1,5}",
        needed=True,
        takes="a number of statements",
        help="so many first statements of the half file are on the target: somebody looked",
    ),
}


def run(ops: Ops, said: Said) -> Reply:
    request = find_request(ops.view, said.one("request, such as R-7"))
    done = said.options.get("done")
    asked = request_resume(
        ops,
        request,
        said.actor,
        said.act,
        commit=said.options.get("commit"),
        done=int(done) if done is not None else None,
        progress=said.progress,
    )
    return asked_reply(ops, said, asked)
