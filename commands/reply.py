"""What a word answers: the contract's JSON for programs, a page for people, and how the terminal ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from commands.page import Page
from commands.page import Paragraph
from ops.errors import OpsError
from ops.errors import Reason


@dataclass(frozen=True)
class Reply:
    """`data` is the one JSON object of the contract (without `ok`); `request` names the card that shows the rest."""

    page: Page
    data: Mapping[str, Any] = field(default_factory=dict)
    ok: bool = True
    exit_code: int = 0
    request: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **self.data}

    @property
    def reason(self) -> str | None:
        """The reason code of a refusal or an error, None where all is well."""
        found = self.data.get("reason")
        return str(found) if found else None


def error_reply(error: OpsError, status: str | None = None) -> Reply:
    """A refusal or an error, as every front shows it."""
    body = [Paragraph((error.message,))]
    if error.hint:
        body.append(Paragraph(("What to do: ", error.hint)))
    data: dict[str, Any] = {
        "status": status or _status(error),
        "reason": error.reason.value,
        "message": error.message,
        "hint": error.hint,
    }
    if error.details:
        data["details"] = dict(error.details)
    return Reply(Page(_headline(error), body=body), data, ok=False, exit_code=error.exit_code)


def _status(error: OpsError) -> str:
    # A log that fails in the middle of a run says nothing of how the run ends.
    return "error" if error.reason is Reason.LOG_UNAVAILABLE else _STATUS_OF_EXIT.get(error.exit_code, "error")


_STATUS_OF_EXIT = {1: "failed", 2: "error", 3: "refused", 5: "busy"}


def _headline(error: OpsError) -> str:
    if error.exit_code == 3:
        return "Not allowed: nothing was done"
    if error.exit_code == 5:
        return "Busy: nothing was done"
    if error.reason is Reason.BAD_USAGE or error.exit_code == 2:
        return "That did not work: nothing was done"
    return "Failed"
