"""The forms that a click opens: the reason for a no, and what a yes takes beside pressing."""

from collections.abc import Sequence
from typing import Any

REASON = "reason"
ENVIRONMENT = "environment"
CODE = "code"
"""The inputs' `block_id` and `action_id`, as the contract names them."""

CHOICE = "choose"
"""The `callback_id` of the form behind a bare command; what it says is the same as typing it."""
WORD = "word"
OPTIONS_MOST = 100
OPTION_LETTERS = 75


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


def approve_form(
    request: str, target: str, value: str, *, question: str, environment: bool, code: bool
) -> dict[str, Any]:
    """Ask for what the policy wants with a yes: the environment's name, a one-time code, or both.

    `question` is what is asked, with what a yes accepts; `value` is the button's, so that the yes is for exactly that plan.
    """
    name = target.rpartition("/")[2]
    inputs = []
    if environment:
        hint = f"Type {name}, so that nobody says yes to another environment than they mean."
        inputs.append(_line(ENVIRONMENT, "Name of the environment", hint))
    if code:
        hint = "From the app that you enrolled. It works once, and is recorded nowhere."
        inputs.append(_line(CODE, "One-time code", hint))
    return {
        "type": "modal",
        "callback_id": "approve",
        "private_metadata": value,
        "title": _plain("Approve"),
        "submit": _plain("Approve"),
        "close": _plain("Back"),
        "blocks": [
            {
                "type": "section",
                "text": _plain(f"{request}: {question}"),
            },
            *inputs,
        ],
    }


def choice_form(words: Sequence[tuple[str, str]], targets: Sequence[str], channel: str) -> dict[str, Any]:
    """Choose what to do, and where: the same as typing it. `words`: each with what it does; `channel`: where it was asked
    for, and so where the private answer goes."""
    labels = [(word, f"{word}: {summary}") for word, summary in words]
    return {
        "type": "modal",
        "callback_id": CHOICE,
        "private_metadata": channel,
        "title": _plain("Countersign"),
        "submit": _plain("Go"),
        "close": _plain("Back"),
        "blocks": [
            _select(ENVIRONMENT, "Where", [(name, name) for name in targets]),
            _select(WORD, "What", labels),
        ],
    }


def _select(name: str, label: str, options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    shown = [{"text": _plain(text[:OPTION_LETTERS]), "value": value} for value, text in options]
    element = {"type": "static_select", "action_id": name, "options": shown, "initial_option": shown[0]}
    return {"type": "input", "block_id": name, "label": _plain(label), "element": element}


def override_form(request: str, target: str, value: str) -> dict[str, Any]:
    """Ask whoever overrides the approvals of an emergency to prove, by a one-time code, that they are the one."""
    hint = "From the app that you enrolled. It works once, and is recorded nowhere."
    return {
        "type": "modal",
        "callback_id": "override",
        "private_metadata": value,
        "title": _plain("Override approvals"),
        "submit": _plain("Override"),
        "close": _plain("Back"),
        "blocks": [
            {
                "type": "section",
                "text": _plain(
                    f"{request} then runs on {target} without anybody else's yes. Everybody is told, and other people "
                    "have to review it; until they have, there is no further emergency."
                ),
            },
            _line(CODE, "One-time code", hint),
        ],
    }


def _line(name: str, label: str, hint: str) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": name,
        "label": _plain(label),
        "hint": _plain(hint),
        "element": {"type": "plain_text_input", "action_id": name, "max_length": 100},
    }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text[:2900], "emoji": False}
