"""One-time codes that follow from a secret and the time: TOTP, RFC 6238, on HOTP, RFC 4226. Pure functions of values.

Six digits, SHA-1, 30 seconds: what every authenticator app takes without asking. The codes of one step before and one
after count too, because telephones' clocks are not exact; which of them were used before is told by the log.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from urllib.parse import quote
from urllib.parse import urlencode

STEP_SECONDS = 30
DIGITS = 6
SECRET_BYTES = 20
"""As long as the hash, as RFC 4226 §4 (R6) recommends."""
AROUND = 1
"""So many steps before and after the present one count too."""

TRIES = 5
"""So many wrong codes one after the other lock the second factor of a person."""
FIRST_LOCK = timedelta(minutes=15)
LONGEST_LOCK = timedelta(hours=24)
"""Each further lock lasts twice as long as the one before, until a code was right. Guessing on through a year, somebody
tries some 2,000 codes, of which three in a million are right at each moment."""


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def step_at(at: datetime) -> int:
    """The number of the time step that a moment lies in, from 1970 on."""
    return int(at.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int, *, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of one time step."""
    digest = hmac.new(secret, step.to_bytes(8, "big"), getattr(hashlib, algorithm)).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def step_of(secret: bytes, code: str, at: datetime) -> int | None:
    """The time step around this moment that a code belongs to, the newest of several; None: it belongs to none.

    Blanks in the code do not matter: apps show it in two groups.
    """
    given = "".join(code.split()).encode(errors="replace")
    found = None
    now = step_at(at)
    for step in range(max(now - AROUND, 0), now + AROUND + 1):  # all are compared, so that time tells nothing
        if hmac.compare_digest(code_at(secret, step).encode(), given):
            found = step
    return found


def enrolment_url(secret: bytes, account: str, issuer: str = "Countersign") -> str:
    """What an authenticator app reads from a QR code: a secret.

    The format is Google's (https://github.com/google/google-authenticator/wiki/Key-Uri-Format, read 2026-11).
    """
    query = {
        "secret": base64.b32encode(secret).decode().rstrip("="),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_SECONDS,
    }
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{urlencode(query)}"


@dataclass(frozen=True)
class Tries:
    """What the log tells of somebody's codes since they enrolled.

    `last_step`: the newest step of which a code was used, None: of none. `wrong`: when each wrong code was given since the
    last right one. `known_at`: the newest moment that the log tells of; now cannot be before it.
    """

    last_step: int | None
    wrong: Sequence[datetime]
    known_at: datetime


def locked_until(tries: Tries) -> datetime | None:
    """Until when no code is looked at, because too many were wrong. None: no lock was ever begun; it may lie in the past."""
    locks, rest = divmod(len(tries.wrong), TRIES)
    if not locks:
        return None
    lasts = min(FIRST_LOCK * (1 << min(locks - 1, 10)), LONGEST_LOCK)
    return tries.wrong[len(tries.wrong) - rest - 1] + lasts


def is_before_the_log(tries: Tries, at: datetime) -> bool:
    """Whether the clock was set back: then codes that were seen once would be valid again."""
    return at < tries.known_at


def is_used(tries: Tries, step: int) -> bool:
    """Whether the code of this step, or of a later one, was used before: each works once, and none after a newer one."""
    return tries.last_step is not None and step <= tries.last_step
