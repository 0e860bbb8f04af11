"""Writing down which configuration holds: every rule, what changed since the last, and by whom as far as is known."""

import hashlib
import os
import pwd
import re
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

from audit import Draft
from audit import View
from ops.errors import OpsError
from ops.git import clean_environment
from ops.git import printable
from ops.git import run_git
from ops.people import Actor
from ops.policy_changes import Change
from ops.policy_changes import policy_changes
from ops.settings import Settings
from ops.settings import policy_sha256
from ops.targets import all_targets

GIT_SECONDS = 2.0

_SECRET = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*|file:.+")
_NAMED = "configured"


def configured(settings: Settings, view: View, process: Actor) -> Draft:
    """The `configured` event of a process that starts. `process`: who started it, as the system says."""
    rules = {one.name: one.settings.policy() for one in all_targets(settings)}
    last = view.last(kind="configured")
    before: Mapping[str, Mapping[str, Any]] | None = (last.data or {}).get("rules") if last is not None else None
    data = {
        "sha256": settings.sha256,
        "policies": {name: policy_sha256(policy) for name, policy in rules.items()},
        "rules": rules,
        "changed": _changed(before, rules) if before is not None else {},
        "secrets": secrets_named(settings),
        "by": {"process": process.id, **_file(settings.file), "commit": _commit(settings.file)},
    }
    return Draft(kind="configured", actor="system:bot", stream="bot", data=data)


def configured_anew(settings: Settings, view: View, process: Actor) -> Draft | None:
    """The same, for a process that acts without the bot: None where this configuration was written down last."""
    last = view.last(kind="configured")
    if last is not None and (last.data or {}).get("sha256") == settings.sha256:
        return None
    return replace(configured(settings, view, process), actor=process.id)


def secrets_named(settings: Settings) -> list[str]:
    """By what names the configuration has its secrets (`$NAME`, `file:PATH`), sorted; never what they hold."""
    return sorted({one for one in _texts(settings.model_dump(mode="json")) if _SECRET.fullmatch(one)})


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, Mapping):
        yield from (text for value in found.values() for text in _texts(value))
    elif isinstance(found, list):
        yield from (text for value in found for text in _texts(value))


def _changed(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """The rules that differ, target by target; one that came or went is a change of its own."""
    found: dict[str, list[dict[str, Any]]] = {}
    for target in dict.fromkeys((*before, *after)):
        if target not in before or target not in after:
            there = Change("target", _NAMED if target in before else None, _NAMED if target in after else None)
            found[target] = [there.to_json()]
        elif changes := policy_changes(before[target], after[target]):
            found[target] = [one.to_json() for one in changes]
    return found


def _file(file: Path) -> dict[str, str | None]:
    """Whose file it is, and when it was written last; None where the system does not say."""
    try:
        status = file.stat()
    except OSError:
        return {"owner": None, "modified_at": None}
    owner = f"uid-{status.st_uid}"
    with suppress(KeyError):
        owner = pwd.getpwuid(status.st_uid).pw_name
    return {"owner": owner, "modified_at": datetime.fromtimestamp(status.st_mtime, UTC).isoformat()}


def _commit(file: Path) -> dict[str, Any] | None:
    """The last commit that touched the file where it lies in git, and whether the file is as committed; None: it does not,
    or git cannot be asked. Who wrote a commit is what it says of itself."""
    git_dir = next((one / ".git" for one in file.parents if (one / ".git").is_dir()), None)
    if git_dir is None:
        return None
    name = os.fspath(file.relative_to(git_dir.parent))
    environment = clean_environment({"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull})

    def ask(*arguments: str) -> list[str]:
        code, said, _ = run_git(git_dir, arguments, environment=environment, timeout_seconds=GIT_SECONDS)
        return said.decode(errors="replace").rstrip("\n").split("\x00") if code == 0 else []

    try:
        last = ask("log", "-1", "--no-show-signature", "--format=%H%x00%an%x00%ae%x00%cI", "HEAD", "--", name)
        blob = ask("rev-parse", "--verify", "--quiet", f"HEAD:{name}")
        content = file.read_bytes()
    except (OpsError, OSError):
        return None
    if len(last) != 4:
        return None
    sha, author, email, at = (printable(one, 200) for one in last)
    is_committed = [_blob_of(content, len(sha))] == blob
    return {"sha": sha, "author": author, "email": email, "at": at, "is_committed": is_committed}


def _blob_of(content: bytes, digits: int) -> str:
    """The name that git gives to this content: SHA-1, or SHA-256 where commits have 64 digits."""
    made = hashlib.sha256 if digits == 64 else hashlib.sha1
    return made(b"blob %d\x00%b" % (len(content), content)).hexdigest()
