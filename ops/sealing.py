"""Sealing files for the people who hold a key: the age format (https://age-encryption.org/v1), by the library pyrage.

Sealing takes public keys alone; the secret one is needed to open. The library is loaded by whoever seals or opens.
"""

import hashlib
import os
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from typing import BinaryIO

from ops.errors import OpsError
from ops.errors import Reason

SEALED = ".age"
"""The end of a sealed file's name, as the age tools write it."""

SECRET_KEY = "AGE-SECRET-KEY-"
"""What a secret key begins with."""


@dataclass(frozen=True)
class Sealed:
    """What went into a seal and what came out, both counted and hashed on their way: SHA-256, lower-case hex."""

    plain_sha256: str
    sha256: str


def check_recipient(text: str) -> None:
    """Raises ValueError for what is no public key of age: a wrong letter would seal for nobody."""
    if text.upper().startswith(SECRET_KEY):
        msg = "a secret key stands where the public one belongs, which begins with age1; make a new pair, this one is known"
        raise ValueError(msg)
    age = _library()
    try:
        age.x25519.Recipient.from_str(text)
    except age.RecipientError:
        msg = "a public key of age begins with age1 and has 62 letters; `age-keygen -y` prints it"
        raise ValueError(msg) from None


def seal(plain: Path, sealed: Path, recipients: Sequence[str], *, stop: Callable[[], bool]) -> Sealed:
    """Write `plain` into a new file 0600 that only the holders of these keys can open; on the disk when this returns.

    Raises OpsError STOPPED, and BACKUP_NOT_PROVEN where the disk does not take it; the file is the caller's to remove.
    """
    age = _library()
    keys = [age.x25519.Recipient.from_str(one) for one in recipients]
    with plain.open("rb") as source, _new_file(sealed) as target:
        going_in, coming_out = _Counted(source, stop), _Counted(target, stop)
        # Not encrypt_file: that keeps every other thread of the process waiting until it is done.
        try:
            age.encrypt_io(going_in, coming_out, keys)
        except (age.EncryptError, OSError) as error:
            raise (_stopped() if stop() else _not_sealed(sealed, str(error))) from None
        target.flush()
        os.fsync(target.fileno())
        return Sealed(going_in.sha256, coming_out.sha256)


def unseal(sealed: Path, plain: Path, identity: str, *, stop: Callable[[], bool]) -> None:
    """Write what is sealed into a new file 0600. `identity`: the text of an identity file, a secret.

    Raises OpsError: BAD_CONFIG for no or a wrong key, BACKUP_DAMAGED for a file that is not as it was sealed, STOPPED.
    """
    age = _library()
    keys = _keys(age, identity)
    with sealed.open("rb") as source, _new_file(plain) as target:
        try:
            age.decrypt_io(_Counted(source, stop), _Counted(target, stop), keys)
        except (age.DecryptError, OSError) as error:
            raise (_stopped() if stop() else _not_opened(sealed, str(error))) from None


def check_own_key(identity: str) -> None:
    """Raises ValueError unless this is the text of an identity file with one secret key, and OpsError as `seal_own` does."""
    _own_key(_library(), identity)


def seal_own(plain: bytes, identity: str) -> bytes:
    """A short text sealed for the holder of this secret key alone.

    Raises ValueError for what is not one secret key, OpsError(TOOLS_MISSING) without the library.
    """
    age = _library()
    sealed: bytes = age.encrypt(plain, [_own_key(age, identity).to_public()])
    return sealed


def unseal_own(sealed: bytes, identity: str) -> bytes:
    """What `seal_own` sealed with this secret key. Raises as it does, and ValueError for anything else."""
    age = _library()
    try:
        plain: bytes = age.decrypt(sealed, [_own_key(age, identity)])
    except age.DecryptError:
        msg = "it cannot be opened with this key"
        raise ValueError(msg) from None
    return plain


def _own_key(age: ModuleType, identity: str) -> Any:
    lines = [line.strip() for line in identity.splitlines()]
    try:
        [key] = [age.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (age.IdentityError, ValueError):
        msg = "it is not one secret key of age"
        raise ValueError(msg) from None  # the cause may quote the key
    return key


def _keys(age: ModuleType, identity: str) -> list[object]:
    lines = [line.strip() for line in identity.splitlines()]
    try:
        keys = [age.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except age.IdentityError:
        keys = []
    if not keys:
        raise OpsError(
            Reason.BAD_CONFIG,
            "What [backup] identity names is no secret key of age.",
            f"It is a file as `age-keygen` writes it, with a line that begins with {SECRET_KEY}.",
        )
    return keys


def _not_sealed(sealed: Path, said: str) -> OpsError:
    return OpsError(Reason.BACKUP_NOT_PROVEN, f"The backup {sealed.name} could not be sealed: {said}.", exit_code=1)


def _not_opened(sealed: Path, said: str) -> OpsError:
    if "matching" in said.lower():
        return OpsError(
            Reason.BAD_CONFIG,
            f"The backup {sealed.name} is sealed for another key than the one that [backup] identity names.",
            "`backups` says for which keys it is sealed.",
        )
    return OpsError(
        Reason.BACKUP_DAMAGED, f"The backup {sealed.name} cannot be opened: {said.splitlines()[0]}", exit_code=1
    )


class _Counted:
    """A file whose bytes are hashed as they pass, and that ends the work when it is to stop."""

    def __init__(self, file: BinaryIO, stop: Callable[[], bool]) -> None:
        self._file = file
        self._stop = stop
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        self._go_on()
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def write(self, data: bytes) -> int:
        self._go_on()
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def _go_on(self) -> None:
        if self._stop():
            raise OSError(
                "stopped"
            )  # the library passes it on as an error of the file; InterruptedError it would retry


def _stopped() -> OpsError:
    return OpsError(Reason.STOPPED, "The backup was stopped on request.", exit_code=1)


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _library() -> ModuleType:
    try:
        import pyrage  # here because plain backups do without it
    except ImportError:
        raise OpsError(
            Reason.TOOLS_MISSING,
            "Something is to be sealed or opened, and the Python package pyrage is not installed.",
            "Install it beside Countersign, or take `encrypt` out of [backup].",
        ) from None
    found: ModuleType = pyrage
    return found
