#!/usr/bin/env python3
"""Check evidence from a Countersign log: it takes Python 3.8 or newer, no package and no network.

    python3 verify.py [FOLDER] [--key NAME+ID+KEY]

It checks that no file of the folder was changed, that every event is what was recorded, and that each is in the log whose
root was signed. Give the log's public key as you know it from elsewhere: without `--key` the one in the folder is used, which
shows that all fits together, but not who signed. Ends with 0 when everything holds, 1 when something does not, 2 when it
cannot tell.
"""

from __future__ import annotations  # so that older Pythons need not understand the types

import argparse
import base64
import binascii
import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from typing import Tuple  # noqa: UP035

Point = Tuple[int, int, int, int]  # noqa: UP006 (it must load in Python 3.8)

# RFC 8032, section 5.1: the curve's prime, its constant, the order of the base point, and the base point.
P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202

FIELDS = (
    "actor", "at", "commitment", "environment", "format", "id", "kind", "log", "place", "previous", "project",
    "request", "seq", "stream",
)  # fmt: skip


class Wrong(Exception):
    """Something does not hold; the message says what."""


# --- Ed25519, only checking; points are (x, y, z, t) in extended coordinates


def add(one: Point, two: Point) -> Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c = 2 * one[3] * two[3] * D % P
    d = 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            found = add(found, point)
        point = add(point, point)
        number >>= 1
    return found


def is_same(one: Point, two: Point) -> bool:
    return (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


def x_of(y: int, sign: int) -> int | None:
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def point_of(encoded: bytes) -> Point | None:
    if len(encoded) != 32:
        return None
    number = int.from_bytes(encoded, "little")
    y = number & ((1 << 255) - 1)
    x = x_of(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def has_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature holds. False for whatever is no key or no signature."""
    key = point_of(public)
    if key is None or len(signature) != 64:
        return False
    commitment = point_of(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if commitment is None or scalar >= ORDER:
        return False
    base = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return is_same(times(scalar, base), add(commitment, times(hashed, key)))


# --- the log's own forms


def event_hash(log: str, event: dict[str, Any]) -> bytes:
    """The hash of an event: SHA-256 over a zero byte and its canonical JSON. Its values are texts, whole numbers and null."""
    found: dict[str, Any] = {name: event.get(name) for name in FIELDS}
    found.update(format=1, log=log)
    text = json.dumps(found, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that a path leads to (RFC 6962). Raises Wrong for a path that does not fit the place."""
    if not 0 <= index < size:
        raise Wrong("a proof is for an event that the signed log does not have")
    found, first, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            raise Wrong("a proof is too long")
        if first & 1 or first == last:
            found = node(sibling, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node(found, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise Wrong("a proof is too short")
    return found


def key_of(text: str) -> tuple[str, bytes, bytes]:
    """Name, short id and public bytes of `name+id+key`."""
    name, _, rest = text.strip().partition("+")
    id_, _, encoded = rest.partition("+")
    try:
        found = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 33 or found[:1] != b"\x01":
        raise Wrong("the public key is no key: it looks like name+01234567+AbCd…")
    short = hashlib.sha256(name.encode() + b"\n" + found).digest()[:4]
    if short.hex() != id_:
        raise Wrong("the public key is damaged")
    return name, short, found[1:]


def signed_checkpoint(note: str, keys: list[tuple[str, bytes, bytes]]) -> tuple[str, int, bytes, list[str]]:
    """Origin, size and root of a note that one of the keys has signed."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    by = []
    for line in signatures.strip().split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "—":
            raise Wrong("the checkpoint's signatures are not in their form")
        signature = base64.b64decode(parts[2], validate=True)
        for name, short, public in keys:
            if (name, short) == (parts[1], signature[:4]):
                if not has_signed(public, signature[4:], text.encode()):
                    raise Wrong(f"the signature by {name} does not hold: the checkpoint was changed or made up")
                by.append(name)
    if not by:
        raise Wrong("the checkpoint is not signed by this key")
    return checkpoint_of(text, by)


def checkpoint_of(text: str, by: list[str]) -> tuple[str, int, bytes, list[str]]:
    """Origin, size and root in the text of a note, and who signed it."""
    lines = text.split("\n")
    return lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True), by


# --- what is checked, in order


def check_files(folder: Path) -> int:
    """Every file of the manifest, byte for byte; and that no other is there."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, sha256 in sorted(manifest["files"].items()):
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
            raise Wrong(f"{name} is missing")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise Wrong(f"{name} was changed after the evidence was made")
    there = {str(path.relative_to(folder)).replace("\\", "/") for path in folder.rglob("*") if path.is_file()}
    others = sorted(there - set(manifest["files"]) - {"manifest.json", "manifest.sig"})
    if others:
        raise Wrong(f"{others[0]} does not belong to the evidence")
    return len(manifest["files"])


def check_manifest(folder: Path, log: str, keys: list[tuple[str, bytes, bytes]]) -> None:
    """The list of files is signed too, so that nobody else wrote the report."""
    origin, _, sha256, _ = signed_checkpoint((folder / "manifest.sig").read_text(encoding="utf-8"), keys)
    manifest = (folder / "manifest.json").read_bytes()
    request = json.loads(manifest.decode("utf-8"))["request"]
    if origin != f"countersign.evidence/{log}/{request}":
        raise Wrong("what is signed is the list of another evidence")
    if sha256 != hashlib.sha256(manifest).digest():
        raise Wrong("the list of the files was changed after the evidence was made")


def check_plan(folder: Path) -> str:
    """That the plan is the one whose digest people said yes to, as the events of the request have it."""
    digest = hashlib.sha256((folder / "plan.json").read_bytes()).hexdigest()
    request = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["request"]
    with (folder / "events.jsonl").open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            event = json.loads(line)
            is_about = event["request"] == request and event["kind"] in ("requested", "approved")
            if is_about and event["data"] is not None and json.loads(event["data"])["digest"] != digest:
                raise Wrong(f"event {event['seq']}: it is about another plan than the one in plan.json")
    return digest


def check_events(folder: Path, log: str, size: int, root: bytes) -> tuple[int, int]:
    """Each event: its data, its hash, and its place in the log that was signed."""
    proofs = json.loads((folder / "proofs.json").read_text(encoding="utf-8"))["paths"]
    count = erased = 0
    with (folder / "events.jsonl").open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            event = json.loads(line)
            seq = event["seq"]
            if event["data"] is None:
                erased += 1
            else:
                salted = bytes.fromhex(event["salt"]) + event["data"].encode()
                if hashlib.sha256(salted).hexdigest() != event["commitment"]:
                    raise Wrong(f"event {seq}: its data is not what was recorded")
            leaf = event_hash(log, event)
            if leaf.hex() != event["hash"]:
                raise Wrong(f"event {seq}: it is not what was recorded")
            path = [bytes.fromhex(one) for one in proofs[str(seq)]]
            if root_from(leaf, seq - 1, size, path) != root:
                raise Wrong(f"event {seq}: it is not in the log that was signed")
            count += 1
    if count != len(proofs):
        raise Wrong(f"{len(proofs)} events are proven, but {count} are here")
    return count, erased


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", nargs="?", default=Path(__file__).resolve().parent, type=Path)
    parser.add_argument("--key", help="the log's public key, as you know it from elsewhere")
    given = parser.parse_args()
    folder = given.folder
    try:
        files = check_files(folder)
        note = (folder / "checkpoint.txt").read_text(encoding="utf-8")
        is_signed = bool(given.key) or (folder / "key.txt").exists()
        if is_signed:
            text = given.key or (folder / "key.txt").read_text(encoding="utf-8")
            keys = [key_of(line) for line in text.split("\n") if line.strip()]
            origin, size, root, by = signed_checkpoint(note, keys)
            check_manifest(folder, origin.rpartition("/")[2], keys)
        else:
            origin, size, root, by = checkpoint_of(note.rstrip("\n") + "\n", [])
        count, erased = check_events(folder, origin.rpartition("/")[2], size, root)
        digest = check_plan(folder)
    except Wrong as error:
        print(f"It does NOT hold: {error}.")
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        print(f"It cannot be told: the evidence cannot be read ({type(error).__name__}: {error}).")
        return 2
    told = f", the text of {erased} erased since" if erased else ""
    if not is_signed:
        print(
            f"It cannot be told: {files} files and {count} events{told} fit together, and nobody has signed any of them."
        )
        return 2
    print(f"It holds: {files} files unchanged, {count} events as they were recorded{told}.")
    print(f"Each is in the log {origin} of {size} events, signed by {', '.join(by)}.")
    print(f"The plan is {digest}.")
    if not given.key:
        print("The key came with the evidence. To know who signed, give the key that you have from elsewhere: --key")
    return 0


if __name__ == "__main__":
    sys.exit(main())
