"""Taking a multipart/form-data body apart, byte for byte: a standard parser would read line ends anew."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MOST_PARTS = 10_000
_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(r'(?:^|[;\s])name="([^"]*)"')
_FILENAME = re.compile(r'[;\s]filename="([^"]*)"')


@dataclass(frozen=True)
class Part:
    """One part: `name` and `filename` as its header says, `headers` by lower-case name, `content` as it came."""

    name: str
    filename: str | None
    headers: Mapping[str, str]
    content: bytes


def parse_parts(content_type: str, body: bytes) -> tuple[Part, ...]:
    """The parts of a body. Raises ValueError when it is not whole, or is not multipart."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        raise ValueError("it is not multipart/form-data")
    boundary = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    pieces = (b"\r\n" + body).split(boundary, MOST_PARTS)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ValueError("its end is missing")
    return tuple(_part(piece) for piece in pieces[1:-1])


def _part(piece: bytes) -> Part:
    head, gap, content = piece.partition(b"\r\n\r\n")
    if not gap or not head.startswith(b"\r\n"):
        raise ValueError("a part has no header")
    headers = {}
    for line in head[2:].decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    disposition = headers.get("content-disposition", "")
    name, filename = _NAME.search(disposition), _FILENAME.search(disposition)
    return Part(_plain(name[1]) if name else "", _plain(filename[1]) if filename else None, headers, content)


def _plain(text: str) -> str:
    """What browsers and the CLI escape in such a header."""
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
