"""Why the Management API did not do or say what was asked, in words for people."""

from typing import Any

from ops.errors import OpsError
from ops.errors import Reason

_UNKNOWN = " Whether it was done is unknown."


class ApiError(OpsError):
    """The Management API did not do or say what was asked. `status` is None where no answer came.

    `outcome_unknown`: it was asked to change something and may have done so, which the message then says. Look before
    asking again.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        hint: str,
        *,
        exit_code: int,
        status: int | None = None,
        outcome_unknown: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        details: dict[str, Any] = {"status": status, "outcome": "unknown" if outcome_unknown else "not_done"}
        if retry_after_seconds is not None:
            details["retry_after_seconds"] = round(retry_after_seconds, 1)
        said = f"{message}{_UNKNOWN}" if outcome_unknown else message
        super().__init__(reason, said, hint, exit_code=exit_code, details=details)
        self.status = status
        self.outcome_unknown = outcome_unknown


def hint_of(unknown: bool) -> str:
    """What to do behind a call that failed, or of which nobody knows."""
    if unknown:
        return "Look at what is there before you ask again; Countersign does not send it a second time by itself."
    return (
        "Nothing was changed. See status.supabase.com, and try again. Where only the database is to be pushed meanwhile: "
        'functions = "off" in the environment.'
    )


def once_looked(error: OpsError) -> OpsError:
    """The same error, for whoever has looked since and found that it was not done: nothing in it is unknown."""
    if not isinstance(error, ApiError) or not error.outcome_unknown:
        return error
    message = error.message.removesuffix(_UNKNOWN)
    return ApiError(error.reason, message, "See status.supabase.com.", exit_code=error.exit_code, status=error.status)
