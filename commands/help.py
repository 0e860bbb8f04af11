"""`help [WORD]`: what this person may do here."""

from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.reply import Reply
from commands.words import Front
from commands.words import Option
from commands.words import Said
from commands.words import all_words
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.policy import Decision
from ops.policy import is_named
from ops.policy import may_request
from ops.settings import Environment
from ops.targets import all_targets
from ops.targets import nearest

USAGE = "help [WORD]"
SUMMARY = "this page, or how a word is used"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    words = {name: word for name, word in all_words().items() if said.front in word.FRONTS}
    if said.arguments:
        return _one_word(said.arguments[0].lower(), list(words))
    prefix = "/migrate " if said.front is Front.SLACK else "countersign "
    lines: list[Line] = [(Code(prefix + word.USAGE), f"  {word.SUMMARY}") for word in words.values()]
    body: list[Part] = [Listing("Words", lines), Listing("You", _rights(ops, said))]
    page = Page("Countersign: what people approve is what runs", body=body, next=_first_step(ops, prefix))
    data = {"words": [{"word": name, "usage": word.USAGE, "summary": word.SUMMARY} for name, word in words.items()]}
    return Reply(page, {**data, "rights": ["".join(map(str, line)) for line in _rights(ops, said)]})


def _one_word(name: str, known: list[str]) -> Reply:
    if name not in known:
        near = nearest(name, known)
        hint = f"Did you mean `{near}`?" if near else f"These are: {', '.join(known)}."
        raise OpsError(Reason.UNKNOWN_WORD, f"There is no word {name[:40]!r} here.", hint)
    word = all_words()[name]
    doc = (getattr(word, "__doc__", "") or "").partition(": ")[2].strip()
    return Reply(
        Page(word.USAGE, body=[Paragraph((doc or word.SUMMARY,))]),
        {"words": [{"word": name, "usage": word.USAGE, "summary": word.SUMMARY}]},
    )


def _rights(ops: Ops, said: Said) -> list[Line]:
    """What this person may do on each target, by the rules as they are and what Slack says now."""
    lines: list[Line] = []
    for target in all_targets(ops.settings):
        rules = target.settings
        entries = (*rules.requesters, *rules.approvers)
        try:
            directory = ops.directory(entries, users=(said.actor.user,), members=False)
        except OpsError as error:
            lines.append((f"{target.name}: unknown just now, so nothing: {error.message}",))
            continue
        may_push = may_request(rules.requesters, said.actor, directory, target.name)
        is_approver = bool(rules.approvals) and is_named(rules.approvers, said.actor, directory.groups)
        lines.append((f"{target.name}: {_right(rules, may_push, is_approver)}",))
    return lines


def _right(rules: Environment, may_push: Decision, is_approver: bool) -> str:
    """What one person may do on one target, in words."""
    deciding = "approve and reject what others request and wrote"
    if not may_push.allowed:
        return deciding if is_approver else f"nothing. {may_push.message}"
    if not rules.approvals:
        return "push (no approval needed)"
    return f"push; {deciding}" if is_approver else f"push; {rules.approvals} of {', '.join(rules.approvers)} approve"


def _first_step(ops: Ops, prefix: str) -> Line:
    target = all_targets(ops.settings)[0]
    return ("see what would run: ", Code(f"{prefix}plan {target.environment}"), ".")
