"""What a place for checkpoints is to those who write there and read there."""

from typing import Protocol


class Publisher(Protocol):
    """Puts signed checkpoints somewhere else. `where` names the place in the log and in errors; it holds no secret."""

    @property
    def where(self) -> str: ...

    def publish(self, note: str, size: int, at: str) -> str:
        """Put a note there and return what finds it again. Doing so twice does no harm. Raises OpsError(ANCHOR_FAILED)."""
        ...
