"""What somebody asks of the log in the query grammar, with the names in it looked up."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from audit import KINDS
from audit.grammar import KEYS
from audit.grammar import Asked
from audit.grammar import BadQuery
from audit.grammar import Term
from audit.grammar import parse
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.people import Group
from ops.people import People
from ops.settings import Settings
from ops.targets import all_targets
from ops.targets import nearest

MARKS = (":", '"')
"""What tells a question from the name of an environment."""
_GROUP_MENTION = "!subteam^"
"""How Slack writes a mention of a group, before its id."""


def is_question(arguments: tuple[str, ...]) -> bool:
    """Whether this is a question in the query grammar: one word without a mark is the name of an environment."""
    marked = any(mark in one for one in arguments for mark in MARKS)
    return len(arguments) > 1 or marked or any(len(one.split()) > 1 for one in arguments)


def typed_again(arguments: tuple[str, ...]) -> str:
    """A question as it was typed, after a shell or Slack's line took its quotes off."""
    return " ".join(_quoted(one.strip()) for one in arguments)


def _quoted(argument: str) -> str:
    """One argument of several words: what was in quotes, unless there are conditions in it."""
    words = argument.split()
    if len(words) < 2 or '"' in argument:
        return argument
    keys = [word.partition(":")[0].lstrip("-").lower() if ":" in word else "" for word in words]
    if any(key in KEYS for key in keys[1:]) or (keys[0] in KEYS and keys[0] != "text"):
        return argument
    key, mark, value = argument.partition(":") if keys[0] == "text" else ("", "", argument)
    return f'{key}{mark}"{value}"'


def asked_of(text: str, settings: Settings, people: People, now: datetime) -> Asked:
    """The question that a text is, its people found. Raises OpsError BAD_USAGE for what is none or names nobody,
    IDENTITY_UNPROVEN where it names a group and nobody here knows who is in it."""
    try:
        asked = parse(text, now, sorted(KINDS))
    except BadQuery as error:
        raise OpsError(Reason.BAD_USAGE, error.message, error.hint) from error
    terms = tuple(_named(term, settings, people) if term.key == "actor" else term for term in asked.terms)
    return replace(asked, terms=terms)


def nowhere(asked: Asked, settings: Settings) -> str:
    """Why nothing may be found: an environment is asked for that the configuration does not name. Empty: each is one."""
    known = {name for target in all_targets(settings) for name in (target.name, target.environment, target.project)}
    for term in asked.terms:
        for name in term.values if term.key == "env" else ():
            if name.lower() not in known:
                near = nearest(name, sorted(known))
                return f"There is no environment {name!r} now." + (f" Did you mean {near}?" if near else "")
    return ""


def _named(term: Term, settings: Settings, people: People) -> Term:
    found = [one for value in term.values for one in _actors(value, settings, people)]
    return replace(term, values=tuple(dict.fromkeys(found)))


def _actors(name: str, settings: Settings, people: People) -> Iterator[str]:
    """Whom a name may mean, as actors' ids or how those end: Slack ids, logins, people of [people], groups."""
    mention = name.strip("<>")
    if mention.startswith(_GROUP_MENTION):
        yield from sorted(_mentioned(mention.removeprefix(_GROUP_MENTION).partition("|")[0], settings, people).members)
        return
    if ":" in name:
        yield name
        return
    plain = name.removeprefix("@")
    if Actor(f"slack:T0/{plain}").user:
        yield plain
        return
    if name in _groups(settings):
        yield from sorted(people.group(name).members)
        return
    known = [user for known, user in settings.people.items() if plain.lower() in {known.lower(), _login(known)}]
    yield from known
    if name.startswith("@") and not known:
        raise OpsError(
            Reason.BAD_USAGE,
            f"{name} is nobody whom the configuration names.",
            "Take the Slack id, such as actor:U0ANA, a login at the terminal, or a name or group of the configuration.",
        )
    yield plain


def _mentioned(id: str, settings: Settings, people: People) -> Group:
    """The group of the configuration that a mention means: who is in another one, nobody here knows."""
    for handle in sorted(_groups(settings)):
        if (group := people.group(handle)).id == id:
            return group
    raise OpsError(
        Reason.BAD_USAGE,
        "That is no group that the configuration names.",
        f"It names these: {', '.join(sorted(_groups(settings))) or 'none'}.",
    )


def _login(known: str) -> str:
    return known.partition("@")[0].lower()


def _groups(settings: Settings) -> frozenset[str]:
    rules = [target.settings for target in all_targets(settings)]
    named = [entry for one in rules for entry in (*one.approvers, *one.requesters, *one.overriders)]
    return frozenset(entry for entry in (*named, *settings.audit.auditors) if entry.startswith("@"))
