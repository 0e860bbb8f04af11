"""Rules about addresses and keys of one project, in files that run on several; worst where it is another one's."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.migrations import Migration

_REF = r"[a-z0-9]{20}"
# https://<ref>.supabase.co, wss://…, db.<ref>.supabase.co, <ref>.functions.supabase.co, <ref>.storage.supabase.co
_HOST = rf"(?<![a-z0-9-])({_REF})(?:\.(?:functions|storage|realtime|auth))?\.supabase\.(?:co|in|net|red)(?![a-z0-9-])"
# postgres.<ref> as the pooler's user, whatever the role: in URLs before ":" or "@", or behind user=
_USER = rf"(?:://|\buser(?:name)?\s?=\s?'?)[a-z_][a-z0-9_]{{0,62}}\.({_REF})(?=[:@'\s;)])"
_PAGE = rf"supabase\.(?:com|io)/(?:dashboard/|v1/)?projects?/({_REF})(?![a-z0-9])"
_NAMES_PROJECT = re.compile(f"{_HOST}|{_USER}|{_PAGE}", re.IGNORECASE)
_LOCAL = re.compile(
    r"\b(?:https?|wss?|postgres(?:ql)?)://(?:[^\s'/@]{1,200}@)?"
    r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]|host\.docker\.internal|kong|supabase_\w{1,60})(?=[:/'\"\s]|$)",
    re.IGNORECASE,
)
_ONE_ENVIRONMENT = "Read the address from the vault or a setting; each environment has its own."


@dataclass(frozen=True, slots=True)
class _Named:
    """A place where a file names a project, as an address or by a key."""

    ref: str
    place: int
    is_key: bool


@dataclass
class _Refs:
    """The projects that the pending files have named so far, outside comments."""

    seen: set[str] = field(default_factory=set)


def ref_of_key(token: str) -> str:
    """The project that a JWT names as its own; empty when it names none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, binascii.Error, ValueError, RecursionError):
        return ""
    ref = claims.get("ref") if isinstance(claims, dict) else None
    return ref.lower() if isinstance(ref, str) and re.fullmatch(_REF, ref, re.IGNORECASE) else ""


def _named(act: Act, pending: Pending) -> list[_Named]:
    text = act.migration.text
    found = []
    if "supabase" in text.lower():
        for match in _NAMES_PROJECT.finditer(text):
            found.append(_Named(str(match[match.lastindex or 1]).lower(), match.start(), is_key=False))
    for secret in pending.secrets(act.migration):
        ref = ref_of_key(text[secret.start : secret.end]) if secret.kind == "JWT" else ""
        if ref:
            found.append(_Named(ref, secret.start, is_key=True))
    return sorted(found, key=lambda one: one.place)


def is_in_line_comment(text: str, place: int) -> bool:
    """The character stands behind `--` on its line."""
    return "--" in text[text.rfind("\n", 0, place) + 1 : place]


@rule(
    "foreign-project",
    HazardClass.FOREIGN_PROJECT,
    Level.DANGER,
    on=(Migration,),
    caught=(
        "select 'https://abcdefghijklmnopqrst.supabase.co/rest/v1/';"
        " select 'https://tsrqponmlkjihgfedcba.supabase.co/rest/v1/';"
    ),
    left_alone="select 'https://abcdefghijklmnopqrst.supabase.co/rest/v1/';",
    safe_way=_ONE_ENVIRONMENT,
)
def foreign_project(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The address or key of another project than the target; where the target's is not known, of a second one. In a
    comment it is told as info."""
    text = act.migration.text
    seen = pending.remembered(_Refs).seen
    for named in _named(act, pending):
        is_comment = is_in_line_comment(text, named.place) and not named.is_key
        if pending.project_ref:
            is_foreign = named.ref != pending.project_ref
            whose = f"which is not the target's ({pending.project_ref})"
        else:
            others = sorted(seen - {named.ref})
            is_foreign, whose = bool(others), f"beside that of project {others[0] if others else ''}"
        if not is_comment:
            seen.add(named.ref)
        if is_foreign:
            what = "a key" if named.is_key else "an address"
            message = f"Names {what} of project {named.ref}, {whose}."
            yield Found(message, text.count("\n", 0, named.place) + 1, Level.INFO if is_comment else None)


@rule(
    "project-url",
    HazardClass.FOREIGN_PROJECT,
    Level.CAUTION,
    on=(Migration,),
    caught="select 'https://abcdefghijklmnopqrst.supabase.co/functions/v1/send';",
    left_alone="select 'https://supabase.com/docs';",
    safe_way=_ONE_ENVIRONMENT,
)
def project_url(act: Act, pending: Pending) -> Iterator[str | Found]:
    """One environment's address in a file that runs on all of them. The target's own, or in a comment: info."""
    text = act.migration.text
    said: set[tuple[str, int]] = set()
    for named in _named(act, pending):
        line = text.count("\n", 0, named.place) + 1
        if named.is_key or (named.ref, line) in said or (pending.project_ref and named.ref != pending.project_ref):
            continue
        said.add((named.ref, line))
        is_harmless = bool(pending.project_ref) or is_in_line_comment(text, named.place)
        yield Found(f"Names the address of project {named.ref}.", line, Level.INFO if is_harmless else None)


@rule(
    "local-address",
    HazardClass.FOREIGN_PROJECT,
    Level.CAUTION,
    on=(Migration,),
    caught="select cron.schedule('x', '* * * * *', 'select net.http_get(''http://kong:8000/functions/v1/x'')');",
    left_alone="-- try it on http://localhost:54321\nselect 1;",
    safe_way=_ONE_ENVIRONMENT,
)
def local_address(act: Act, pending: Pending) -> Iterator[str | Found]:
    """An address that means a developer's own machine, outside comments."""
    text = act.migration.text
    for found in _LOCAL.finditer(text) if "://" in text else ():
        if not is_in_line_comment(text.replace("://", "   "), found.start()):
            host = found.group().split("://")[1].rsplit("@")[-1]
            yield Found(f"Names {host}, which is another machine everywhere.", text.count("\n", 0, found.start()) + 1)
