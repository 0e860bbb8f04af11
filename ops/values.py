"""Values that a person just entered, kept in this process's memory for as long as the act that uses them lasts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field

from ops.errors import OpsError
from ops.errors import Reason

MOST_BYTES = 24_576
"""The longest value that Supabase takes (https://api.supabase.com/api/v1, read 2026-11-20)."""


@dataclass(frozen=True)
class Value:
    """A secret that somebody entered. No text of this object shows it."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        return "«masked: value»"


def checked_value(text: str) -> Value:
    """What somebody entered, as it will be set: exactly, without one line end behind it. Raises OpsError(BAD_USAGE)."""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise OpsError(Reason.BAD_USAGE, "Nothing was entered, and an empty value is not set.", "Enter it again.")
    if "\x00" in text or len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        message = f"That value is longer than {MOST_BYTES} bytes, or has a NUL in it."
        raise OpsError(Reason.BAD_USAGE, message, "Enter one that Supabase takes.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OpsError(Reason.BAD_USAGE, "That value is not UTF-8 text.", "Enter it again.") from None
    return Value(text)


class Values:
    """Each value under the act or the request that it was entered for. Nothing of it survives the process."""

    def __init__(self) -> None:
        self._held: dict[str, Value] = {}
        self._mutex = threading.Lock()

    @contextmanager
    def hold(self, key: str, value: Value | None) -> Iterator[None]:
        """While this lasts the value can be used under this key. Of two at once the first counts; None holds nothing.

        Raises OpsError(TARGET_BUSY) where one is held under the key already.
        """
        if value is None:
            yield
            return
        with self._mutex:
            if key in self._held:
                message = f"A value for {key} is being set just now."
                raise OpsError(Reason.TARGET_BUSY, message, "See in a moment what became of it.", exit_code=5)
            self._held[key] = value
        try:
            yield
        finally:
            with self._mutex:
                del self._held[key]

    def held(self, key: str) -> Value | None:
        """The value under this key, None where none is."""
        with self._mutex:
            return self._held.get(key)
