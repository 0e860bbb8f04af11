"""What a check of a target's health found."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checked:
    """What one check found; `detail` says in a few words what was expected and what came.

    `unknown`: what was to be checked could not be asked at all, so that nothing is known of it; then `ok` is False too.
    """

    name: str
    ok: bool
    seconds: float
    detail: str
    unknown: bool = False

    def to_json(self) -> dict[str, Any]:
        found = {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 3), "detail": self.detail}
        return {**found, "unknown": True} if self.unknown else found

    @property
    def state(self) -> str:
        """holds, fails or unknown."""
        return "holds" if self.ok else "unknown" if self.unknown else "fails"
