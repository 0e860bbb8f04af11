"""`audit verify`: whether the log is what it was, by its own chain and by checkpoints that were kept elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audit import BadKey
from audit import Reader
from audit import Verification
from audit import VerifyKey
from audit import remember
from audit import remembered
from audit import verify
from commands.auditing.anchor_texts import texts_of
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.checkpoints import known_keys
from ops.errors import OpsError
from ops.errors import Reason


def run(asked: Asked) -> Reply:
    if asked.copy is not None and not asked.copy.is_file():
        raise OpsError(Reason.BAD_USAGE, f"There is no file {asked.copy}.", "Name a copy of a log.")
    places: Sequence[str] = asked.arguments.anchors
    texts = list(texts_of(places))
    keys = _keys(asked) if places else ()
    memory = asked.path.with_name(f"{asked.path.name}.verified")
    since = remembered(memory) if asked.arguments.since_checkpoint else None
    if since is not None and not places:
        raise OpsError(
            Reason.BAD_USAGE,
            "What was verified before proves nothing without a checkpoint from elsewhere.",
            "Add --anchors, or leave --since-checkpoint out.",
        )
    found = verify(asked.path, anchors=texts, keys=keys, wants_anchor=bool(places), since=since)
    if asked.copy is None:  # a copy stays as it is, and who has one reads nothing of this log
        if found.end is not None:
            remember(memory, found.end)
        note(asked, "queried", {"query": "verify", "rows": found.events})
    data: dict[str, Any] = {
        "events": found.events,
        "head": found.head,
        "problems": [asdict(problem) for problem in found.problems],
    }
    if places:
        data |= {"anchors": found.anchors, "anchored": found.anchored, "since": found.since}
    if found.base:
        data["base"] = found.base
    if found.ok:
        facts = [*_begins(found), *(_anchored(found) if places else [])]
        headline = f"The log holds: {plural(found.events, 'event')}, head {found.head[:16]}"
        return Reply(Page(headline, facts=facts, next=() if places else _advice()), data)
    lines = [(f"{'event ' + str(one.seq) if one.seq else 'the file'}: {one.message}",) for one in found.problems]
    page = Page(f"The log does not hold: {plural(len(lines), 'problem')}", body=[Listing("Problems", lines)])
    return Reply(page, data, ok=False, exit_code=1)


def _begins(found: Verification) -> list[tuple[str, Line]]:
    """What is not here of a log whose old months were dropped."""
    told = (
        f"behind event {found.base}: those before it were dropped, but for some that are needed and proven one by one"
    )
    return [("Begins", (told,))] if found.base else []


def _anchored(found: Verification) -> list[tuple[str, Line]]:
    behind = found.events - found.anchored
    before: list[tuple[str, Line]] = []
    if found.since:
        before = [
            ("Read", (f"events {found.since + 1} to {found.events}; those before held when they were read last",))
        ]
    return [
        *before,
        ("Anchors", (f"{plural(found.anchors, 'checkpoint')} from elsewhere, all of which hold",)),
        (
            "Proven",
            (f"events 1 to {found.anchored} are those that were signed; {plural(behind, 'event')} came after that",),
        ),
    ]


def _advice() -> Line:
    return (
        "this shows edits, not a log that was computed anew or cut: ",
        Command("audit verify --anchors FILE"),
        " does, with checkpoints that were kept elsewhere.",
    )


def _keys(asked: Asked) -> Sequence[VerifyKey]:
    """The keys that were given, as text or as files that hold it; else those that the configuration and the log know."""
    if not asked.arguments.key:
        return known_keys(asked.settings, Reader(asked.path))
    try:
        return [
            VerifyKey.from_text(line)
            for given in asked.arguments.key
            for line in (given if "+" in given else Path(given).read_text()).splitlines()
            if line.strip()
        ]
    except BadKey as error:
        raise OpsError(Reason.BAD_USAGE, error.message, error.hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(
            Reason.BAD_USAGE, "The key's file cannot be read.", "Give the key as `audit key` prints it, or its file."
        ) from error
