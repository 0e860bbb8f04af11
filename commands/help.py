"""`help [WORD]`: what this person may do here, or how a word is used.

Without a word: every word of this front, and what you may do on each environment, by the rules as they are now. With a
word: its page.

Examples:
    help           the words, and what you may do
    help push      the page of one word

See also: status, plan
"""

from collections.abc import Mapping

from commands.manual import manual_json
from commands.manual import manual_page
from commands.manual import word_manual
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import plain_line
from commands.reply import Reply
from commands.words import Declared
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from commands.words import declared_words
from commands.words import parse
from ops.environment import Environment
from ops.errors import OpsError
from ops.layer import Ops
from ops.policy import Decision
from ops.policy import is_named
from ops.policy import may_request
from ops.targets import all_targets

USAGE = "help [WORD]"
SUMMARY = "this page, or how a word is used"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

MOST_USED = ("plan", "push", "approve", "reject", "status", "show")
"""These stand first, in the order in which a push needs them; the others follow by the alphabet."""


def run(ops: Ops, said: Said) -> Reply:
    words = {name: word for name, word in declared_words().items() if said.front in word.fronts}
    if said.arguments:
        return _one_word(_meant(said, words), words, said.front)
    rights = _rights(ops, said)
    inside = sorted(words.values(), key=lambda word: (_place(word.name), word.name))
    groups = [(group, [word for word in inside if word.group is group]) for group in Group]
    body: list[Part] = [Listing("You", rights)]
    body += [
        Listing(group.value.capitalize(), [_word_line(word, said.front) for word in found])
        for group, found in groups
        if found
    ]
    small: Line = (Command("help push"), " tells how one word is used, and its options")
    page = Page("Countersign: what people approve is what runs", body=body, next=_first_step(ops), small=small)
    return Reply(
        page, {"words": [_word_json(word) for word in words.values()], "rights": list(map(plain_line, rights))}
    )


def _meant(said: Said, words: Mapping[str, Declared]) -> str:
    """The word, also where it is typed as two: `clean up`. Raises OpsError for none, and for more."""
    typed = " ".join(said.arguments).lower()
    whole = next((name for name, word in words.items() if word.usage.startswith(f"{typed} ")), None)
    return whole or parse((said.one("word"),), said.front).word


def _place(name: str) -> int:
    return MOST_USED.index(name) if name in MOST_USED else len(MOST_USED)


def _word_line(word: Declared, front: Front) -> Line:
    """How a word is used, in Slack without its options: there it is read on telephones, and few are meant for it."""
    usage = word.usage.partition(" [--")[0] if front is Front.SLACK else word.usage
    return (Command(usage), f"  {word.summary}")


def _word_json(word: Declared) -> dict[str, str]:
    return {"word": word.name, "usage": word.usage, "summary": word.summary}


def _one_word(name: str, known: Mapping[str, Declared], front: Front) -> Reply:
    manual = word_manual(known[name])
    return Reply(manual_page(manual, front), {"words": [manual_json(manual)]})


def _rights(ops: Ops, said: Said) -> list[Line]:
    """What this person may do on each target, by the rules as they are and what Slack says now."""
    lines: list[Line] = []
    for target in all_targets(ops.settings):
        rules = target.settings
        approvers = (*rules.approvers, *(who for rule in rules.rules for who in rule.approvers))
        entries = (*rules.requesters, *approvers)
        try:
            directory = ops.directory(entries, users=(said.actor.user,), members=False)
        except OpsError as error:
            lines.append((f"{target.name}: unknown just now, so nothing: {error.message}",))
            continue
        may_push = may_request(rules.requesters, said.actor, directory, target.name)
        is_approver = rules.asks_people and is_named(approvers, said.actor, directory.groups)
        lines.append((f"{target.name}: {_right(rules, may_push, is_approver)}",))
    return lines


def _right(rules: Environment, may_push: Decision, is_approver: bool) -> str:
    """What one person may do on one target, in words."""
    deciding = "approve and reject what others request and wrote"
    if not may_push.allowed:
        return deciding if is_approver else f"nothing. {may_push.message}"
    if not rules.asks_people:
        return "push (no approval needed)"
    asked = [f"{rules.approvals} of {', '.join(rules.approvers)}"] if rules.approvals else []
    asked += [f"{rule.approvals} of {', '.join(rule.approvers)}" for rule in rules.rules]
    return f"push; {deciding}" if is_approver else f"push; {' and '.join(asked)} approve"


def _first_step(ops: Ops) -> Line:
    target = all_targets(ops.settings)[0]
    return ("see what would run: ", Command(f"plan {target.environment}"), ".")
