"""The forms that a click opens: today one, the reason for a no."""

from typing import Any

REASON = "reason"
"""The input's `block_id` and `action_id`, as the contract names them."""


def reject_form(request: str, target: str, value: str) -> dict[str, Any]:
    """Ask why a request is rejected. `value` is the button's, kept so that the no is for exactly that plan."""
    return {
        "type": "modal",
        "callback_id": "reject",
        "private_metadata": value,
        "title": _plain("Reject"),
        "submit": _plain("Reject"),
        "close": _plain("Back"),
        "blocks": [
            {
                "type": "section",
                "text": _plain(f"{request} for {target} will not run, and no later approval brings it back."),
            },
            {
                "type": "input",
                "block_id": REASON,
                "label": _plain("Reason"),
                "hint": _plain("Whoever asked reads it on the card, and it stays in the audit log."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON,
                    "multiline": True,
                    "placeholder": _plain("What has to change first?"),
                    "min_length": 3,
                    "max_length": 1000,
                },
            },
        ],
    }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text[:2900], "emoji": False}
