"""Temporary logins of a database, asked from the Management API, so that no database's password is kept anywhere."""

import os
import threading
import time
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from urllib.parse import quote
from urllib.parse import urlsplit

from ops.setting_values import LOGIN_SCHEME
from ops.supabase.client import need_api
from ops.targets import Target

LONGEST_USE_SECONDS = 600.0
"""However long a login lasts, a new one is asked for by then: one that was taken away would fail until its end."""

_POOLER = ".pooler.supabase.com"
_DIRECT = "supabase.co"


@dataclass(frozen=True)
class _Kept:
    target: Target = field(repr=False)
    url: str = field(repr=False)
    until: float
    instead_of: str = field(default="", repr=False)


_LOCKS: dict[tuple[str, ...], threading.Lock] = {}
_KEPT: dict[tuple[str, ...], _Kept] = {}


def login_url(target: Target) -> str:
    """An address with a login that is good for a while: a secret. The same one for some minutes, then a new one.

    Sessions outlive the login that they began with. Raises OpsError(BAD_CONFIG) without a token, ApiError when the API
    gives none.
    """
    settings, api_url = target.settings, os.environ.get("SUPABASE_API_URL", "")
    key = (target.name, settings.project_ref or "", settings.database_url, target.access_token, api_url)
    with _LOCKS.setdefault(key, threading.Lock()):  # of several that need one at once, one asks
        kept = _KEPT.get(key)
        if kept is None or time.monotonic() >= kept.until:
            kept = _KEPT[key] = _asked(target)
        return kept.url


def login_in_place_of(url: str) -> str | None:
    """An address in place of one whose login is refused: somebody else who got one may have ended ours. None: not of ours."""
    for key, lock in list(_LOCKS.items()):
        with lock:
            kept = _KEPT.get(key)
            if kept is not None and kept.url == url:
                kept = _KEPT[key] = replace(_asked(kept.target), instead_of=url)
            if kept is not None and kept.instead_of == url:
                return kept.url
    return None


def _asked(target: Target) -> _Kept:
    began = time.monotonic()
    with need_api(target) as api:
        role = api.login_role()
    host, user, rest = _place(target, role.role)
    url = f"postgresql://{quote(user)}:{quote(role.password.get_secret_value(), safe='')}@{host}{rest}"
    return _Kept(target, url, began + min(role.ttl_seconds / 2, LONGEST_USE_SECONDS))


def _place(target: Target, role: str) -> tuple[str, str, str]:
    """Host, user, and the rest of the address: the project's own database, or the one that the setting names."""
    ref = target.settings.project_ref or ""
    named = urlsplit(target.settings.database_url.removeprefix(LOGIN_SCHEME))
    host = named.hostname or f"db.{ref}.{_DIRECT}"
    user = f"{role}.{ref}" if host.endswith(_POOLER) else role
    return host, user, f":{named.port or 5432}/{named.path.strip('/') or 'postgres'}"
