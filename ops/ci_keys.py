"""The public keys of an issuer of identity tokens, fetched when they are needed and kept for a while."""

import json
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from ops.errors import OpsError
from ops.errors import Reason

KEEP_SECONDS = 3600.0
AGAIN_SECONDS = 30.0
"""So soon after a look the issuer is asked again, for a key that was not among them: nobody makes us ask all the time."""

BYTES = 256 * 1024
MOST_KEYS = 32
TIMEOUT_SECONDS = 5.0
LEAST_BITS = 2048


class IssuerKeys:
    """Keys by their id. Any thread may ask; one of them fetches, and the others wait for it."""

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[str], Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{issuer}/.well-known/jwks"
        self._fetch = fetch or fetch_keys
        self._clock = clock
        self._mutex = threading.Lock()
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None

    def key(self, kid: str) -> RSAPublicKey:
        """The key of this id. Raises OpsError(IDENTITY_UNPROVEN) when there is none, or the issuer does not answer."""
        with self._mutex:
            now = self._clock()
            is_old = self._fetched_at is None or now - self._fetched_at > KEEP_SECONDS
            may_ask = self._asked_at is None or now - self._asked_at > AGAIN_SECONDS
            if (is_old or kid not in self._keys) and may_ask:
                self._asked_at = now
                self._keys = usable_keys(self._fetch(self._url))
                self._fetched_at, is_old = now, False
            found = None if is_old else self._keys.get(kid)
        if found is None:
            raise unproven("The token is signed with a key that its issuer does not show.")
        return found


def unproven(message: str, hint: str = "Ask for a fresh token; docs/ci.md says how.") -> OpsError:
    """Nobody can say who this is."""
    return OpsError(Reason.IDENTITY_UNPROVEN, message, hint, exit_code=3)


def usable_keys(answer: Mapping[str, Any]) -> Mapping[str, RSAPublicKey]:
    """The RSA keys for signatures in a JWK set, by id; what is something else, or too short, is left out."""
    listed = answer.get("keys")
    found: dict[str, RSAPublicKey] = {}
    for one in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if not isinstance(one, dict) or one.get("kty") != "RSA" or one.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK.from_dict(one, algorithm="RS256").key
        except (PyJWTError, ValueError, TypeError):
            continue
        kid = one.get("kid")
        if isinstance(kid, str) and isinstance(key, RSAPublicKey) and key.key_size >= LEAST_BITS:
            found[kid] = key
    return found


def fetch_keys(url: str) -> Mapping[str, Any]:
    """What the issuer shows at this address. Raises OpsError(IDENTITY_UNPROVEN)."""
    import httpx  # here, for it is slow to load, and most processes ask no issuer

    body = b""
    try:
        with httpx.stream("GET", url, timeout=TIMEOUT_SECONDS, headers={"Accept": "application/json"}) as answer:
            if answer.status_code != 200:
                raise unproven(
                    f"The issuer's keys cannot be read: it answers {answer.status_code}.", "Try again later."
                )
            for part in answer.iter_bytes():
                body += part
                if len(body) > BYTES:
                    raise unproven("The issuer's keys cannot be read: the answer is too long.", "Try again later.")
        read = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise unproven(f"The issuer's keys cannot be read: {type(error).__name__}.", "Try again later.") from error
    return read if isinstance(read, dict) else {}
