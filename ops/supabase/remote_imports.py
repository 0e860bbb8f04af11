"""What a module imports from elsewhere, and whether a commit says which version that is."""

import re

from ops.git import printable

_PACKAGE = re.compile(
    r"(?:npm|jsr):/{0,2}(?:@[^/@]*+/)?[^/@]*+@\d{1,9}\.\d{1,9}\.\d{1,9}(?:[-+][0-9A-Za-z.+-]*+)?(?:/.*+)?",
    re.IGNORECASE | re.DOTALL,
)
_BEHIND = re.compile(r"[?#].*", re.DOTALL)
_USER = re.compile(r"^(https?:[/\\]*)[^/\\]*@", re.IGNORECASE)


def unpinned(name: str) -> str:
    """An import that may give something else tomorrow, without what could be a secret in it; empty: its version is exact.

    An address is never exact, whatever it says, for its server answers as it likes.
    """
    plain = _BEHIND.sub("", name)
    if _PACKAGE.fullmatch(plain):
        return ""
    return printable(_USER.sub(r"\1", plain), 120)
