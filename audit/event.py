"""What an event is, and how it is canonicalised and hashed. Pure functions of values; no file, no clock.

The format is fixed (docs say it in words) and checked by other programs: a change here is a new format number.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any

import rfc8785
from pydantic import BaseModel
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from audit.errors import BadEvent

FORMAT = 1
FIRST_PREVIOUS = "0" * 64
MAX_EVENT_BYTES = 16 * 1024 * 1024  # a plan of ten thousand files with their hazards is one event

# In the order of the view `events`. The canonical JSON that is hashed sorts its keys by itself.
COLUMNS = (
    "seq", "id", "at", "kind", "actor", "project", "environment", "request",
    "stream", "place", "data", "commitment", "previous", "hash",
)  # fmt: skip
HASHED = tuple(name for name in COLUMNS if name not in {"data", "hash"})

# Canonical JSON writes the character NUL as these six; an even number of backslashes before them is plain text.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MAX_INTEGER = 2**53 - 1
_PLAIN = frozenset({str, bool, type(None)})
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)
# What the encoder above makes anew for every text, in a Python that has it: skipkeys is off, allow_nan on as there.
_MAKE = getattr(json.encoder, "c_make_encoder", None)
_IN_C = _MAKE and _MAKE(None, _ENCODER.default, encode_basestring, None, ":", ",", True, False, True)
_quoted = encode_basestring  # a text in JSON's quotes, what is beyond ASCII as it is; TypeError for anything else
_digits = int.__repr__  # TypeError for anything but a number
_NUMBERED_ID = re.compile(r"/[0-9]+\Z")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


@dataclass(frozen=True, kw_only=True, init=False)
class Draft:
    """An event that somebody wants recorded; number, time, place and hashes are the log's to give.

    `data` must fit the model of its kind and is already masked. It is read when the act's turn comes, so leave
    it alone until then. `project`, `environment` and `request` are None where the event is about none.
    """

    kind: str
    actor: str
    stream: str
    data: Mapping[str, Any]
    project: str | None
    environment: str | None
    request: str | None

    def __init__(
        self,
        *,
        kind: str,
        actor: str,
        stream: str,
        data: Mapping[str, Any],
        project: str | None = None,
        environment: str | None = None,
        request: str | None = None,
    ) -> None:
        # all at once: a frozen dataclass's own makes a call for each, which every append waits for
        self.__dict__.update(
            kind=kind, actor=actor, stream=stream, data=data, project=project, environment=environment, request=request
        )


@dataclass(frozen=True, kw_only=True)
class Event:
    """One row of the log. `seq` counts all events from 1, `place` those of its stream from 1, both without gaps.

    `at` is an aware UTC datetime. `data` is None when it was erased. `commitment`, `previous` and `hash` are 64
    lower-case hex digits.
    """

    seq: int
    id: str
    at: datetime
    kind: str
    actor: str
    project: str | None
    environment: str | None
    request: str | None
    stream: str
    place: int
    data: dict[str, Any] | None
    commitment: str
    previous: str
    hash: str


def event_of(row: Mapping[str, Any]) -> Event:
    """The event in a row of the view `events`. Raises ValueError or TypeError when the row holds something else."""
    data = None if row["data"] is None else json.loads(row["data"])
    return Event(**{**row, "at": datetime.fromisoformat(row["at"]), "data": data})


def event_recorded(row: Mapping[str, Any], data: dict[str, Any]) -> Event:
    """The event in a row that was just made from `data`; what `event_of` gives, without a call for each field."""
    event = object.__new__(Event)
    event.__dict__.update(row)
    event.__dict__.update({"at": datetime.fromisoformat(row["at"]), "data": data})
    return event


def canonical_data(draft: Draft, kinds: Mapping[str, type[BaseModel]]) -> tuple[str, dict[str, Any]]:
    """The JSON text of a draft's data as it is stored and committed to, and what reading it gives. Raises BadEvent
    for a draft that may not be recorded; the error names fields and rules, never the values, which may be secrets
    that nobody masked."""
    model = kinds.get(draft.kind)
    if model is None:
        raise BadEvent(f"There is no event kind {draft.kind!r}.", "Kinds are listed in audit/kinds.py.")
    try:
        # Not pydantic's own JSON mode: it would quietly write NaN as null. What `model_validate` and `model_dump` call is
        # called here, since every append waits for what they do around it.
        given = draft.data if type(draft.data) is dict else dict(draft.data)
        dumped = model.__pydantic_serializer__.to_python(model.__pydantic_validator__.validate_python(given))
        is_plain = _is_plain(dumped)
        text = _encode(dumped) if is_plain else rfc8785.dumps(dumped).decode()
        encoded = text.encode()
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        listed = ", ".join(f"{'.'.join(map(str, fault['loc'])) or 'data'}: {fault['type']}" for fault in faults)
        raise BadEvent(f"The data of a {draft.kind} event does not fit its model: {listed}.") from None
    except (ValueError, TypeError, RecursionError, PydanticSerializationError) as error:
        # odd text, numbers outside JSON's exact range, objects without JSON, nesting without end
        raise BadEvent(
            f"The data of a {draft.kind} event cannot be written as JSON ({type(error).__name__})."
        ) from None
    _refuse_odd_draft(draft, encoded)
    return text, dumped if is_plain else json.loads(text)


def _refuse_odd_draft(draft: Draft, encoded: bytes) -> None:
    size_bytes = len(encoded)
    for name in ("kind", "actor", "stream", "project", "environment", "request"):
        value = getattr(draft, name)
        if type(value) is str and value and value.isascii() and "\0" not in value:  # what nearly every one is
            size_bytes += len(value)
            continue
        if value is None and name in {"project", "environment", "request"}:
            continue
        if not isinstance(value, str) or not value or is_odd_text(value):
            raise BadEvent(f"The {name} of a {draft.kind} event is empty or not plain text.")
        size_bytes += len(value.encode())
    if has_escaped_nul(encoded):
        raise BadEvent(f"The data of a {draft.kind} event holds a NUL character.")
    if size_bytes > MAX_EVENT_BYTES:
        raise BadEvent(f"A {draft.kind} event of {size_bytes} bytes is larger than {MAX_EVENT_BYTES}.")


def is_odd_text(text: str) -> bool:
    """Whether a text holds NUL (programs in C stop reading there) or half a surrogate pair (has no UTF-8)."""
    try:
        return b"\0" in text.encode()
    except UnicodeEncodeError:
        return True


def has_escaped_nul(encoded: bytes) -> bool:
    """Whether a JSON text says NUL in its escaped form; `\\\\u0000` after an escaped backslash is plain text."""
    return b"\\u0000" in encoded and _ESCAPED_NUL.search(encoded) is not None


def check_id(id: str) -> None:
    """Refuses (BadEvent) ids that are empty, odd, long, or that end like the second event of another act."""
    if not id or len(id) > 255 or is_odd_text(id) or _NUMBERED_ID.search(id):
        raise BadEvent(
            "An act's id is empty, longer than 255 characters, odd, or ends in a slash and a number.",
            "Slack's trigger_id or event_id will do, or none at all.",
        )


def numbered_id(id: str, number: int) -> str:
    """The id of an act's first, second… event: `<id>`, `<id>/2`…"""
    return id if number == 1 else f"{id}/{number}"


def uuid7(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then randomness."""
    milliseconds = f"{int(now.timestamp() * 1000) & 0xFFFFFFFFFFFF:012x}"
    chance = os.urandom(10).hex()
    variant = "89ab"[int(chance[3], 16) & 0b11]
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{chance[:3]}-{variant}{chance[4:7]}-{chance[7:19]}"


def written_at(at: datetime) -> str:
    """A moment as the log writes it, `2026-11-22T13:52:01.123456Z`: fixed width, so text sorts as time does.
    Raises ValueError for a naive datetime, since nobody knows what it means."""
    if at.tzinfo is None:
        raise ValueError("a datetime without a time zone")
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[:-6] + "Z"  # for +00:00


def is_written_at(text: str) -> bool:
    """Whether a text is a real moment in the log's form."""
    if not _AT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def commitment_of(salt: str, data: str) -> str:
    """SHA-256 over the 16 bytes of the salt (given in hex) and the stored bytes of the data."""
    return hashlib.sha256(bytes.fromhex(salt) + data.encode()).hexdigest()


def hash_of(log_id: str, row: Mapping[str, Any]) -> str:
    """The hash of an event: SHA-256 over a zero byte and the canonical JSON of all that it is, without its data.
    Raises TypeError and ValueError for a row that holds something else."""
    # Written out, since the names are always these: an encoder takes as long as all else that hashing takes.
    body = (
        f'{{"actor":{_quoted(row["actor"])},"at":{_quoted(row["at"])},"commitment":{_quoted(row["commitment"])}'
        f',"environment":{_quoted_or_null(row["environment"])},"format":{FORMAT},"id":{_quoted(row["id"])}'
        f',"kind":{_quoted(row["kind"])},"log":{_quoted(log_id)},"place":{_digits(row["place"])}'
        f',"previous":{_quoted(row["previous"])},"project":{_quoted_or_null(row["project"])}'
        f',"request":{_quoted_or_null(row["request"])},"seq":{_digits(row["seq"])},"stream":{_quoted(row["stream"])}}}'
    )
    return hashlib.sha256(b"\x00" + body.encode()).hexdigest()


def _quoted_or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def canonical(value: Any) -> bytes:
    """The canonical JSON (RFC 8785) of a value. Raises ValueError, TypeError or RecursionError where it has none.

    For what nearly every event holds, Python's encoder in C writes the same bytes several times as fast.
    """
    return _encode(value).encode() if _is_plain(value) else rfc8785.dumps(value)


def _encode(value: Any) -> str:
    return "".join(_IN_C(value, 0)) if _IN_C else _ENCODER.encode(value)


def _is_plain(value: Any) -> bool:
    """Whether a value holds no fractions (JSON writes them in its own way), no huge numbers and no keys beyond ASCII
    (RFC 8785 sorts those by UTF-16), and nothing that JSON has no form for."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is int:
        return bool(-_MAX_INTEGER <= value <= _MAX_INTEGER)
    if kind is dict:
        if {*map(type, value), str} != {str} or not "".join(value).isascii():
            return False
        value = value.values()
    elif kind is not list:
        return False
    return _PLAIN.issuperset(map(type, value)) or all(map(_is_plain, value))
