"""What may be handed to git: URLs, folders, refs and commits' names, checked before git sees them."""

import re
from urllib.parse import urlsplit

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import printable

SHA = re.compile(r"[0-9a-f]{40}")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")  # git-check-ref-format(1)
_SSH = re.compile(r"(?:[A-Za-z0-9_.][A-Za-z0-9_.-]*@)?[A-Za-z0-9_.][A-Za-z0-9_.-]*:(?!:)[^\s@-][^\s@]*")


def checked_url(url: str) -> str:
    """`file`, `ssh` or `https`. Raises OpsError(BAD_CONFIG); a secret in the URL would be in every process list."""
    if url.isprintable() and not url.startswith("-") and "::" not in url:
        if url.startswith(("/", "file:///")):
            return "file"
        if "://" not in url and _SSH.fullmatch(url):
            return "ssh"
        if _has_host(url, "ssh") and urlsplit(url).password is None:
            return "ssh"
        if _has_host(url, "https") and "@" not in url:
            return "https"
    shown = printable(re.sub(r"[^/\s]*@", "***@", url), 200)
    raise OpsError(
        Reason.BAD_CONFIG,
        f"{shown!r} is no repository that is read here.",
        "Use https://… without a user name or password (git has credential helpers and ~/.netrc for them), "
        "ssh://…, git@host:path, or a local path.",
    )


def _has_host(url: str, scheme: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == scheme and bool(parts.hostname) and not str(parts.hostname).startswith("-")


def checked_folder(folder: str) -> str:
    parts = [part for part in folder.split("/") if part not in {"", "."}]
    if folder.startswith("/") or ".." in parts or not folder.isprintable():
        raise OpsError(Reason.BAD_CONFIG, f"{folder!r} is not a folder inside the repository.")
    return "/".join(parts)


def check_ref(ref: str) -> None:
    """Raises OpsError(BAD_USAGE) for what git would not take as a name, or could take as an option or a path."""
    shape = not ref or ref.startswith(("-", ".", "/")) or ref.endswith((".", "/")) or ref == "@" or len(ref) > 200
    if shape or _REF_FORBIDDEN.search(ref) or not ref.isprintable():
        raise OpsError(
            Reason.BAD_USAGE,
            f"{printable(ref, 80)!r} cannot be the name of a branch, tag or commit.",
            "Name a commit by 7 to 40 hex digits, or a tag or branch as git lists it.",
        )


def checked_sha(commit: str) -> str:
    if not SHA.fullmatch(commit):
        raise OpsError(
            Reason.BAD_USAGE, f"{printable(commit, 80)!r} is not a commit's whole name.", "It has 40 hex digits."
        )
    return commit
