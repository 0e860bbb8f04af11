"""`audit key`: the key that signs checkpoints. Makes it, changes it, retires the one before, or prints its public half.

A change takes two steps, so that whoever checks has time to take over the new key: `--rotate` makes it, and both sign from
then on; `--retire` has the old one sign no more. What the old one signed counts as before, so its public half is kept.
"""

import os
from pathlib import Path

from audit import BadKey
from audit import Draft
from audit import Log
from audit import SigningKey
from audit import make_key
from audit import read_key
from commands.auditing.asked import Asked
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.reply import Reply
from ops.checkpoints import previous_key_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import host_name
from ops.layer import terminal_actor


def run(asked: Asked) -> Reply:
    if asked.settings.audit.key is None:
        raise OpsError(
            Reason.BAD_CONFIG, "No key is configured.", 'Add [audit] key = "var/audit.key", then say this again.'
        )
    path = asked.settings.path(asked.settings.audit.key)
    try:
        if asked.arguments.retire:
            return _retire(asked, path)
        if asked.arguments.rotate:
            return _rotate(asked, path)
        if path.exists():
            return _page("The key that signs this log", read_key(path), None)
        return _make(asked, path)
    except BadKey as error:
        raise OpsError(Reason.BAD_CONFIG, error.message, error.hint) from error


def _make(asked: Asked, path: Path) -> Reply:
    """The log says it first: a key that it does not know would sign otherwise."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    key = make_key(unfinished, _name(asked))
    _record(asked, "key_made", {"key": key.verify_key.to_text(), "previous": ""})
    unfinished.rename(path)
    return _page("The key is made", key, None)


def _rotate(asked: Asked, path: Path) -> Reply:
    previous = previous_key_of(path)
    if previous.exists():
        raise OpsError(
            Reason.BAD_USAGE, "The key before this one still signs.", "Retire it first: `audit key --retire`."
        )
    old = read_key(path)
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    key = make_key(unfinished, _name(asked))
    _record(asked, "key_made", {"key": key.verify_key.to_text(), "previous": old.verify_key.to_text()})
    os.link(path, previous)  # first a second name for the old one, so that no moment is without a key
    unfinished.rename(path)
    return _page("The key is changed; both sign until the old one is retired", key, old)


def _retire(asked: Asked, path: Path) -> Reply:
    previous = previous_key_of(path)
    if not previous.exists():
        raise OpsError(
            Reason.BAD_USAGE, "There is no key before this one that signs.", "`audit key --rotate` makes a new one."
        )
    old = read_key(previous)
    _record(asked, "key_retired", {"key": old.verify_key.to_text()})
    previous.unlink()
    return _page("The old key signs no more", read_key(path), None)


def _name(asked: Asked) -> str:
    return asked.arguments.name or host_name()


def _record(asked: Asked, kind: str, data: dict[str, object]) -> None:
    with Log.open(asked.path) as log:
        log.append([Draft(kind=kind, actor=terminal_actor(asked.uid).id, stream="bot", data=data)])


def _page(headline: str, key: SigningKey, previous: SigningKey | None) -> Reply:
    public = key.verify_key.to_text()
    facts: list[tuple[str, Line]] = [("Public key", (Code(public),))]
    if previous is not None:
        facts.append(("The one before", (Code(previous.verify_key.to_text()),)))
    following: Line = (
        "keep the public key where the log's owner cannot change it: it is what `audit verify --key` takes.",
    )
    data = {"key": public, "previous": previous.verify_key.to_text() if previous else None}
    return Reply(Page(headline, facts=facts, next=following), data)
