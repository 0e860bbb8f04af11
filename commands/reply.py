"""What a word answers: the contract's JSON for programs, a page for people, and how the terminal ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Strong
from commands.page import Tone
from commands.page_words import hint_line
from commands.page_words import refusal_line
from commands.page_words import sentence_line
from commands.page_words import usage_line
from ops.errors import OpsError
from ops.errors import Reason


@dataclass(frozen=True)
class PrivateFile:
    """What is too long for a message, or no text, for the one who asked."""

    name: str
    text: str | bytes


@dataclass(frozen=True)
class Reply:
    """`data` is the one JSON object of the contract (without `ok`); `request` names the card that shows the rest.

    `pictured` is a request whose timeline a front that has pictures shows as well; `data["timeline"]` is what it tells.
    `file` is what Slack gives to the person directly; at the terminal the page has all of it, but what is no text is
    written to a file there.
    """

    page: Page
    data: Mapping[str, Any] = field(default_factory=dict)
    ok: bool = True
    exit_code: int = 0
    request: str | None = None
    pictured: str | None = None
    file: PrivateFile | None = None

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **self.data}

    @property
    def reason(self) -> str | None:
        """The reason code of a refusal or an error, None where all is well."""
        found = self.data.get("reason")
        return str(found) if found else None


def error_reply(error: OpsError, status: str | None = None) -> Reply:
    """A refusal or an error, as every front shows it."""
    body: list[Part] = [Paragraph(_said(error))]
    if (sql := error.details.get("sql")) and sql.get("caret"):
        body.append(Source("Where", str(sql["caret"])))
    if error.hint:
        body.append(Paragraph((Strong("What to do: "), *hint_line(error.hint))))
    data: dict[str, Any] = {
        "status": status or _status(error),
        "reason": error.reason.value,
        "message": error.message,
        "hint": error.hint,
    }
    if error.details:
        data["details"] = dict(error.details)
    return Reply(Page(_headline(error), body=body, tone=_tone(error)), data, ok=False, exit_code=error.exit_code)


def _status(error: OpsError) -> str:
    # A log that fails in the middle of a run says nothing of how the run ends.
    return "error" if error.reason is Reason.LOG_UNAVAILABLE else _STATUS_OF_EXIT.get(error.exit_code, "error")


_STATUS_OF_EXIT = {1: "failed", 2: "error", 3: "refused", 5: "busy"}


def _said(error: OpsError) -> Line:
    """The message as a line. What a database or a repository said stands in it letter by letter."""
    if error.reason in {Reason.BAD_USAGE, Reason.UNKNOWN_WORD, Reason.NOT_AT_THIS_FRONT}:
        return usage_line(error.message)
    return refusal_line(error.message) if error.exit_code in {3, 5} else sentence_line(error.message)


def _tone(error: OpsError) -> Tone:
    """A refusal and a busy target are no failures: nothing was done, and the door is only shut."""
    return "warning" if error.exit_code in {3, 5} else "bad"


_HEADLINES = {
    Reason.PLAN_CHANGED: "The plan has changed",
    Reason.POLICY_CHANGED: "The policy has changed",
    Reason.PLAN_BLOCKED: "This plan cannot be pushed",
    Reason.HAZARD_FORBIDDEN: "This plan cannot be pushed",
    Reason.EXPIRED: "Too late",
    Reason.ALREADY_APPROVED: "You approved it before",
    Reason.ALREADY_DECIDED: "Too late",
    Reason.STALE_CARD: "Not this way",
    Reason.NOT_SHOWN_YET: "Not yet",
}


def _headline(error: OpsError) -> str:
    if error.exit_code == 3 and error.reason in _HEADLINES:
        return f"{_HEADLINES[error.reason]}: nothing was done"
    if error.exit_code == 3:
        return "Not allowed: nothing was done"
    if error.exit_code == 5:
        return "Busy: nothing was done"
    if error.reason is Reason.BAD_USAGE or error.exit_code == 2:
        return "That did not work: nothing was done"
    return "Failed"
