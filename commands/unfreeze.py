"""`unfreeze prod`: end a freeze before its time; what waits and is approved starts then.

Whoever may freeze a target may unfreeze it, whoever froze it; that person is told. `unfreeze all` ends freezes of everything,
not those of single targets: your own; somebody else's if you approve or override in each environment that people approve, or
if that person may freeze nothing any more. Everything about a waiting request is checked again before it starts. Freezes of
the configuration end by themselves, or with another configuration.

Examples:
    unfreeze prod                       end the freeze of prod
    unfreeze all incident 42 is over    end the freeze of everything, and say why

See also: freeze, status
"""

from commands.freeze import target_said
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Who
from commands.page_words import joined
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.freezing import ALL
from ops.freezing import freezes_of
from ops.freezing import unfreeze
from ops.layer import Ops

USAGE = "unfreeze ENVIRONMENT|all [REASON…]"
SUMMARY = "end a freeze of a target, or of everything"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    target = target_said(ops, said, USAGE)
    ended = unfreeze(ops, target, said.actor, said.act, " ".join(said.arguments[1:]))
    name = target.name if target else ALL
    left = list(dict.fromkeys(one.what for one in freezes_of(ops.view, name, ops.now())))
    still = "; everything is frozen all the same" if target and ALL in left else ""
    what = target.name if target else "Everything"
    data = {"target": name, "was_frozen": ended is not None, "still_frozen": left}
    if ended is None:
        return Reply(Page(f"{what} was not frozen{still}" if target else "Not everything was frozen"), data)
    told: Line = (
        (*joined(Who(one.id) for one in ended.anothers), " had frozen it, and is told.") if ended.anothers else ()
    )
    if ended.left:
        by = joined(Who(one.by.id) for one in ended.left)
        body = [Paragraph(("Frozen all the same by ", *by, "."))]
        return Reply(Page(f"{what} stays frozen: not all of it is yours to end", body=body, next=told), data)
    return Reply(Page(f"{what} is no longer frozen{still}", next=told), data)
