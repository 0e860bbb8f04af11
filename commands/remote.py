"""`push prod --remote URL` and `plan prod --remote URL`: ask a bot elsewhere, from a CI job without configuration or log.

The job proves who it is with a token that its CI system makes for it (GitHub Actions with `id-token: write`), or with the
bearer token in $COUNTERSIGN_TOKEN. Progress, answer and exit code are those of the same words on the bot's host.
"""

import math
import os
import time
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.behind import logins_behind
from commands.knock import reply_json
from commands.page_json import read_page
from commands.reply import Reply
from commands.words import Front
from commands.words import Parsed
from commands.words import parse
from ops.ci_remote import Door
from ops.ci_remote import NoAnswerError
from ops.errors import OpsError
from ops.errors import Reason
from ops.progress import Told
from ops.setting_values import parse_duration

Progress = Callable[[str], None]

FOR_OTHERS = frozenset({"hotfix", "emergency", "with-data"})
"""Options that are for people."""

TRIES = 5
PAUSE_SECONDS = 2.0
ROUND_SECONDS = 200


def say_there(words: Sequence[str], progress: Progress, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What the bot answers, as `reply_json` makes it. Raises OpsError: OUTCOME_UNKNOWN where nobody knows what was done."""
    parsed = parse(words, Front.TERMINAL)
    asked = _asked(parsed, environment)
    duration = parsed.options.get("wait", "")
    until = time.monotonic() + parse_duration(duration).total_seconds() if duration else math.inf
    with Door(parsed.options["remote"], environment) as door:
        answer = _insist(lambda: door.ask(parsed.word, asked, progress), progress, until, is_sent=True)
        if parsed.word == "push" and "wait" in parsed.options:
            answer = _follow(door, duration, until, answer, progress)
    if "markdown" in answer["reply"]:
        answer["text"] = answer["reply"]["markdown"]
    return answer


def _asked(parsed: Parsed, environment: Mapping[str, str]) -> dict[str, Any]:
    """What is sent. Raises OpsError(BAD_USAGE) for what only people ask for."""
    if unfit := sorted(FOR_OTHERS & set(parsed.options)):
        message = f"--{unfit[0]} is for people, not for a CI job."
        raise OpsError(Reason.BAD_USAGE, message, "Ask for it in Slack.")
    if len(parsed.arguments) != 1:
        message = f"`{parsed.word} --remote` needs one environment."
        raise OpsError(Reason.BAD_USAGE, message, f"Say `{parsed.word} prod --remote URL`.")
    behind = logins_behind(environment)
    return {
        "environment": parsed.arguments[0],
        "key": uuid.uuid4().hex,
        **({"commit": parsed.options["commit"]} if "commit" in parsed.options else {}),
        **({"markdown": True} if "markdown" in parsed.options else {}),
        **({"behind": list(behind)} if behind else {}),
    }


def _insist(ask: Callable[[], dict[str, Any]], progress: Progress, until: float, *, is_sent: bool) -> dict[str, Any]:
    """Ask until there is an answer, TRIES times, and not again behind the moment `until` of the monotonic clock.

    Asking again is safe: the bot knows an asking by its key, and does it once.
    """
    for left in range(TRIES - 1, -1, -1):
        try:
            return ask()
        except NoAnswerError as error:
            if left == 0 or time.monotonic() + PAUSE_SECONDS * (TRIES - left) > until:
                raise _no_answer(error, is_unknown=is_sent and error.may_have_arrived) from error
            progress(Told(f"the bot does not answer ({error}); asking again", step="asking again"))
            time.sleep(PAUSE_SECONDS * (TRIES - left))
    raise AssertionError


def _no_answer(error: NoAnswerError, *, is_unknown: bool) -> OpsError:
    if is_unknown:
        message = f"The bot did not answer to the end: {error}. It may have done what was asked."
        return OpsError(Reason.OUTCOME_UNKNOWN, message, "Look at `history` there before you ask again.", exit_code=1)
    message = f"The bot cannot be reached: {error}."
    return OpsError(
        Reason.REMOTE_UNAVAILABLE, message, "Check the URL, and that the bot and its proxy are up.", exit_code=1
    )


def _follow(door: Door, duration: str, until: float, answer: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The answer once the request is over or expired, or the time is up: then exit code 4."""
    while answer["request"] and answer["reply"].get("status") in {"waiting", "running"}:
        left = min(ROUND_SECONDS, until - time.monotonic())
        if left <= 0:
            return _still(answer, duration)
        number, wait = answer["request"], max(1, round(left))
        answer = _insist(lambda: door.wait(number, wait, progress), progress, math.inf, is_sent=False)  # noqa: B023  # called at once
    return answer


def _still(answer: dict[str, Any], duration: str) -> dict[str, Any]:
    told = {
        "reason": "still_waiting",
        "message": f"{answer['request']} is {answer['reply']['status']} after {duration}.",
        "hint": f"It goes on without you; see `countersign show {answer['request']}` on the bot's host.",
    }
    page = read_page(answer["page"])
    return reply_json(Reply(page, {**answer["reply"], **told}, ok=False, exit_code=4, request=answer["request"]))
