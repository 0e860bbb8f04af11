"""Checkpoints that were kept elsewhere, against a log: what shows that it was cut, put back, or computed anew.

An anchor is a note from a place that the log's owner cannot rewrite. They are found in any text: a file of notes, lines of
JSON, an export of a Slack channel, the message of a git tag.
"""

import json
import re
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

from audit.checkpoint import ORIGIN_PREFIX
from audit.checkpoint import BadNote
from audit.checkpoint import Checkpoint
from audit.checkpoint import VerifyKey
from audit.checkpoint import open_note

MAX_ANCHORS = 1_000_000
_NOTE = re.compile(
    rf"{re.escape(ORIGIN_PREFIX)}[0-9a-f]{{32}}\n[0-9]{{1,19}}\n[A-Za-z0-9+/]{{43}}=\n(?:[^\n]+\n)*\n(?:— [^\n]+\n?)+"
)
_INDENT = re.compile(r"^[ \t>|]+", re.MULTILINE)


@dataclass(frozen=True)
class Anchor:
    """A checkpoint that is proven to be signed, where it was found, and when it was put there as far as that place says."""

    checkpoint: Checkpoint
    by: tuple[VerifyKey, ...]
    where: str
    at: str = ""


@dataclass(frozen=True)
class Anchors:
    """What was found: anchors by size, and in words what looked like one and is none."""

    found: tuple[Anchor, ...]
    refused: tuple[str, ...]

    @property
    def largest(self) -> Anchor | None:
        return self.found[-1] if self.found else None


def anchors_in(texts: Iterable[tuple[str, str]], origin: str, keys: Sequence[VerifyKey]) -> Anchors:
    """The anchors of one log (`origin`) in texts, each with the name of where it is from. Notes of other logs are passed
    over; one of this log that is not signed by any of the keys, or whose signature does not hold, is refused."""
    found: dict[tuple[int, bytes], Anchor] = {}
    refused: list[str] = []
    for where, text in texts:
        for note, at in _notes(text):
            if note.split("\n", 1)[0] != origin:
                continue
            try:
                checkpoint, by = open_note(note, keys)
            except BadNote as error:
                refused.append(f"{where}, at {note.split(chr(10), 2)[1]} events: {error.message}")
                continue
            found.setdefault((checkpoint.size, checkpoint.root), Anchor(checkpoint, by, where, at))
            if len(found) > MAX_ANCHORS:
                raise BadNote(f"There are more than {MAX_ANCHORS} checkpoints in {where}.", "Give the newest of them.")
    ordered = sorted(found.values(), key=lambda one: (one.checkpoint.size, one.checkpoint.root))
    return Anchors(tuple(ordered), tuple(refused))


def _notes(text: str) -> Iterable[tuple[str, str]]:
    """Every note in a text, with the moment that stands beside it in a line of JSON, or nothing."""
    plain: list[str] = []
    for line in text.split("\n"):
        kept = _from_json(line) if line.startswith("{") else None
        if kept is None:
            plain.append(line)
        else:
            yield kept
    for match in _NOTE.finditer(_INDENT.sub("", "\n".join(plain).replace("\r", ""))):
        yield match[0] if match[0].endswith("\n") else f"{match[0]}\n", ""


def _from_json(line: str) -> tuple[str, str] | None:
    """The note and the moment in a line as publishers write it."""
    try:
        found = json.loads(line)
        note, at = found["note"], found.get("at", "")
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
    return (note, at) if isinstance(note, str) and isinstance(at, str) else None


def anchor_line(note: str, at: str) -> str:
    """A note as publishers write it into a file: one line of JSON."""
    return json.dumps({"at": at, "note": note}, ensure_ascii=False) + "\n"
