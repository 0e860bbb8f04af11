"""Signed checkpoints: size and root of the tree at one moment, in the form that transparency logs use.

A checkpoint is three lines: whose log it is, how many events, the root in base64. A note is that text, an empty line and
a line per signature: an em dash, the key's name, and base64 of the key's short id and its Ed25519 signature of the text.
Forms after C2SP "signed-note" and "tlog-checkpoint", so that other programs can read, check and countersign them.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Self

from audit.errors import AuditError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The library behind the signatures is loaded when one is made or checked: most words do neither.

ORIGIN_PREFIX = "countersign.audit/"
MAX_NOTE_BYTES = 16 * 1024
_ED25519 = b"\x01"  # the algorithm's number in a key's id and in its public form
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— ([^\s+]{1,200}) ([A-Za-z0-9+/]+={0,2})")


class BadNote(AuditError):
    """Something is no checkpoint, or nobody who is trusted has signed it."""


class BadKey(AuditError):
    """A key cannot be used: not there, not a key, or readable by others."""


@dataclass(frozen=True)
class Checkpoint:
    """The first `size` events of a log (`origin` names it) have this `root`, 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """The checkpoint in the text of a note; lines behind the third are allowed and mean nothing. Raises BadNote."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise BadNote("This is no checkpoint: it takes a name, a size and a root, each on a line.")
        root = _decoded(lines[2])
        if root is None or len(root) != 32:
            raise BadNote("This is no checkpoint: its root is not 32 bytes in base64.")
        return cls(lines[0], int(lines[1]), root)


def origin_of(log_id: str) -> str:
    """How a checkpoint names a log."""
    return f"{ORIGIN_PREFIX}{log_id}"


@dataclass(frozen=True)
class VerifyKey:
    """The public half of a key: its name, and 32 bytes."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that say which key of this name signed."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def to_text(self) -> str:
        """`name+id+key`, as it is handed on; nothing in it is secret."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Raises BadKey."""
        name, _, rest = text.strip().partition("+")
        id_, _, encoded = rest.partition("+")
        found = _decoded(encoded)
        if not _NAME.fullmatch(name) or found is None or len(found) != 33 or found[:1] != _ED25519:
            raise BadKey(
                "This is no public key of a log.", "It looks like `name+01234567+AbCd…`: `audit key` prints it."
            )
        key = cls(name, found[1:])
        if key.id.hex() != id_:
            raise BadKey("This public key is damaged: its short id is that of another.", "`audit key` prints it whole.")
        return key

    def has_signed(self, signature: bytes, text: str) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A key that signs checkpoints. Its secret half is never shown."""

    def __init__(self, name: str, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.verify_key = VerifyKey(name, private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.verify_key.to_text()!r})"

    def signature(self, text: str) -> bytes:
        return self._private.sign(text.encode())

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The key in the text that `make_key` writes. Raises BadKey, never with what it was given."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        name, _, encoded = text.strip().removeprefix("PRIVATE+KEY+").partition("+")
        seed = _decoded(encoded)
        if not text.startswith("PRIVATE+KEY+") or not _NAME.fullmatch(name) or seed is None or len(seed) != 32:
            raise BadKey("This is no key that signs checkpoints.", "`countersign audit key` makes one.")
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))


def make_key(path: Path, name: str) -> SigningKey:
    """Makes a key in a new file that only its owner can read. Raises BadKey where there is one, and for a bad name."""
    if not _NAME.fullmatch(name):
        raise BadKey(f"{name!r} is no name for a key.", "Letters and digits without blanks or `+` will do.")
    seed = os.urandom(32)
    text = f"PRIVATE+KEY+{name}+{base64.b64encode(seed).decode()}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise BadKey(f"There is already something at {path}.", "A key is never overwritten.") from error
    except OSError as error:
        raise BadKey(f"The key {path} cannot be made: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return SigningKey.from_text(text)


def read_key(path: Path) -> SigningKey:
    """The key in a file. Raises BadKey when it is not there, is no key, or others can read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no text"
        raise BadKey(f"The key {path} cannot be read: {why}.", "`countersign audit key` makes one.") from error
    if mode & 0o077:
        raise BadKey(f"Others than its owner can read the key {path}.", f"`chmod 600 {path}`, and make a new one.")
    return SigningKey.from_text(text)


def sign(checkpoint: Checkpoint, keys: Sequence[SigningKey]) -> str:
    """The note: the checkpoint with a signature by each key. More than one signs while keys are changed."""
    text = checkpoint.text()
    lines = [
        f"— {key.verify_key.name} {base64.b64encode(key.verify_key.id + key.signature(text)).decode()}\n"
        for key in keys
    ]
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, keys: Iterable[VerifyKey]) -> tuple[Checkpoint, tuple[VerifyKey, ...]]:
    """The checkpoint in a note, and which of these keys have signed it.

    Signatures by other keys are passed over; one by a key that is known and does not hold makes the note worthless, as the
    form asks for. Raises BadNote, also when none of the keys has signed.
    """
    if len(note.encode("utf-8", "replace")) > MAX_NOTE_BYTES:
        raise BadNote("This is no checkpoint: it is too long.")
    text, separator, signed = note.rpartition("\n\n")
    if not separator or not signed.endswith("\n"):
        raise BadNote("This is no signed checkpoint: no signature stands behind an empty line.")
    text += "\n"
    known = {(key.name, key.id): key for key in keys}
    by: list[VerifyKey] = []
    for line in signed[:-1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        found = _decoded(match[2]) if match else None
        if match is None or found is None or len(found) < 5:
            raise BadNote("This is no signed checkpoint: a signature is not in its form.")
        key = known.get((match[1], found[:4]))
        if key is None:
            continue
        if not key.has_signed(found[4:], text):
            raise BadNote(
                f"The signature by {key.name} does not hold: the checkpoint was changed, or somebody made it up."
            )
        by.append(key)
    if not by:
        raise BadNote("None of the keys that are known has signed this checkpoint.", "Give the log's public key.")
    return Checkpoint.read(text), tuple(dict.fromkeys(by))


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
