"""The secrets of second factors: one encrypted file for each person, in a folder that only we can read. Never in the log.

The files are of the age format, sealed for the key that [second_factor] names (`ops.sealing`). The log holds the
hash of each person's present file, so one that was put in its place, or an old one put back, is not believed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.sealing import check_own_key
from ops.sealing import seal_own
from ops.sealing import unseal_own
from ops.settings import Settings
from ops.settings import resolve_secret

NAME_LETTERS = 16


def keep_secret(settings: Settings, user: str, secret: bytes) -> str:
    """Seal a person's secret into a new file 0600, on the disk when this returns; the SHA-256 of its bytes.

    Raises OpsError(FACTOR_UNAVAILABLE) when there is no key or the file cannot be written.
    """
    plain = json.dumps({"user": user, "secret": secret.hex()}).encode()
    sealed = seal_own(plain, _key(settings))
    sha256 = hashlib.sha256(sealed).hexdigest()
    path = _path(settings, user, sha256)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unavailable(f"A secret for {user} cannot be written: {error.strerror}.") from error
    return sha256


def read_secret(settings: Settings, user: str, sha256: str) -> bytes:
    """The secret in the file whose bytes have this hash.

    Raises OpsError(FACTOR_UNAVAILABLE) without a key, for a file that is missing, is not that one, or cannot be opened.
    """
    key = _key(settings)
    path = _path(settings, user, sha256)
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise _unavailable(f"The second factor of {user} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(sealed).hexdigest() != sha256:
        raise _unavailable(f"The second factor of {user} is not the one that the log knows.")
    try:
        found: Mapping[str, Any] = json.loads(unseal_own(sealed, key))
        if found["user"] == user:
            return bytes.fromhex(found["secret"])
    except (ValueError, KeyError, TypeError):
        pass  # what it holds is nobody's to read in an error
    raise _unavailable(f"The second factor of {user} cannot be opened with the key that [second_factor] names.")


def forget_secret(settings: Settings, user: str, sha256: str) -> None:
    """Remove a file that is no longer, or never became, the person's. One that is gone is gone."""
    _path(settings, user, sha256).unlink(missing_ok=True)


def check_key(settings: Settings) -> None:
    """Raise OpsError(FACTOR_UNAVAILABLE) when there is no key to open and seal with."""
    _key(settings)


def _path(settings: Settings, user: str, sha256: str) -> Path:
    folder = settings.second_factor.path if settings.second_factor else Path()
    return settings.path(folder) / f"{user}.{sha256[:NAME_LETTERS]}.age"


def _key(settings: Settings) -> str:
    """The text of the key's identity file: a secret."""
    if settings.second_factor is None:
        raise _unavailable("The configuration names no key for second factors.")
    try:
        text = resolve_secret(settings.second_factor.key, folder=settings.folder)
        check_own_key(text)
    except OpsError as error:
        raise _unavailable(f"The key for second factors cannot be used: {error.message}") from error
    except ValueError:
        raise _unavailable("What [second_factor] key names is not one secret key of age.") from None
    return text


def _unavailable(message: str) -> OpsError:
    return OpsError(
        Reason.FACTOR_UNAVAILABLE,
        message,
        "Whoever runs Countersign looks at [second_factor] and its folder; docs/second-factor.md says how.",
        exit_code=3,
    )
