"""Where a batch ends, as the log may hold it: the key of a row where it says nothing of anybody, else a keyed hash of it.

A plain hash of a birthday or a telephone number is found again by trying them all. So the hash is an HMAC, and its secret
is in a file of ours beside the state: in no log, and on no target.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops.batch_log import Place
from ops.batch_table import Table
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason

FILE = "batches.key"
"""Of the secret, in the folder of the state."""

_BYTES = 32
_BLOCK = 64  # of SHA-256, which RFC 2104 pads a secret to


class OtherSecretError(Exception):
    """A place was hashed with another secret than the one that is here, so no row can be known to be it."""


def secret_in(folder: Path) -> bytes:
    """The secret of this installation, made when it is first asked for. Raises OpsError(BAD_CONFIG) where it cannot be."""
    path = folder / FILE
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes()
    except OSError as error:
        said = f"{path} can be neither read nor made: {error.strerror}."
        raise OpsError(
            Reason.BAD_CONFIG, said, "It holds the secret for places in tables; see docs/backfills.md."
        ) from None
    if len(secret) != _BYTES:
        said = f"{path} does not hold a secret of {_BYTES} bytes."
        raise OpsError(Reason.BAD_CONFIG, said, "Put it back as it was; see docs/backfills.md.")
    return secret


def _make(path: Path) -> None:
    """Whole or not at all, and never over one that somebody made meanwhile."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()


class Places:
    """The places of a table's rows in the order of its key. `secret` is asked for where one is to be hashed.

    The server is given a secret of the table's own, from which the installation's cannot be worked out.
    """

    def __init__(self, connection: Connection, table: Table, secret: Callable[[], bytes]) -> None:
        self._connection = connection
        self._table = table
        self._secret = secret

    def of(self, key: tuple[str, ...] | None) -> Place:
        """The place behind the row with this key; None: before the first row."""
        if key is None:
            return Place()
        if self._table.tells_nothing:
            return Place(key=key)
        # As the server spells it, since it is asked for it again.
        row = self._connection.execute(f"SELECT {self._hash('%s::text[]')}".encode(), (list(key),)).fetchone()
        return Place(hmac=str(row[0]) if row else "", secret=self._which())

    def key_at(self, place: Place) -> tuple[str, ...] | None:
        """The key of the row that a place is behind; None when no row has that hash any more.

        Raises OtherSecretError where that cannot be known.
        """
        if place.hmac is None:
            return place.key
        if place.secret != self._which():
            raise OtherSecretError
        texts = self._table.texts()
        query = f"SELECT {texts} FROM {self._table.name} WHERE {self._hash(f'ARRAY[{texts}]::text[]')} = '{place.hmac}'"  # noqa: S608 (quoted names, hex)
        row = self._connection.execute(query.encode()).fetchone()
        return tuple(row) if row else None

    def _hash(self, texts: str) -> str:
        """HMAC-SHA-256 of these texts as an SQL expression, since the server has SHA-256 alone."""
        own = hmac.digest(self._secret(), self._table.identity.encode(), hashlib.sha256).ljust(_BLOCK, b"\0")
        inner, outer = (bytes(one ^ pad for one in own).hex() for pad in (0x36, 0x5C))
        said = f"pg_catalog.convert_to(({texts})::text, 'UTF8')"
        first = f"pg_catalog.sha256('\\x{inner}'::bytea || {said})"
        return f"pg_catalog.encode(pg_catalog.sha256('\\x{outer}'::bytea || {first}), 'hex')"

    def _which(self) -> str:
        """Which secret it is, without a word of it."""
        return hmac.digest(self._secret(), b"which", hashlib.sha256).hex()[:16]
