"""Which errors of a restore into a scratch cluster are expected there, and why; all others disprove the backup."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from ops.standins import Extension


@dataclass(frozen=True)
class RestoreError:
    """One error that pg_restore printed: the archive's entry as kind, name and owner, and what the server said."""

    kind: str
    entry: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind.lower()} {_shown(self.entry)}: {self.message}"


_HEADER = re.compile(r"pg_restore: from TOC entry \d+; (\d+) (\d+) (.*)")
_ERROR = re.compile(r"pg_restore: error: (?:could not execute query: |COPY failed for table .*?: |)(?:ERROR: +)?(.*)")
_IGNORED = re.compile(r"pg_restore: warning: errors ignored on restore: (\d+)")
_KINDS = (
    "ACCESS METHOD|ACL|AGGREGATE|BLOB COMMENTS|BLOBS|CAST|CHECK CONSTRAINT|COLLATION|COMMENT|CONSTRAINT|CONVERSION"
    "|DATABASE|DEFAULT ACL|DEFAULT|DOMAIN|EVENT TRIGGER|EXTENSION|FK CONSTRAINT|FOREIGN DATA WRAPPER|FOREIGN SERVER"
    "|FOREIGN TABLE|FUNCTION|INDEX ATTACH|INDEX|LANGUAGE|MATERIALIZED VIEW DATA|MATERIALIZED VIEW|OPERATOR CLASS"
    "|OPERATOR FAMILY|OPERATOR|POLICY|PROCEDURAL LANGUAGE|PROCEDURE|PUBLICATION TABLES IN SCHEMA|PUBLICATION TABLE"
    "|PUBLICATION|ROW SECURITY|RULE|SCHEMA|SECURITY LABEL|SEQUENCE OWNED BY|SEQUENCE SET|SEQUENCE|SERVER|SHELL TYPE"
    "|STATISTICS|SUBSCRIPTION TABLE|SUBSCRIPTION|TABLE ATTACH|TABLE DATA|TABLE|TEXT SEARCH CONFIGURATION"
    "|TEXT SEARCH DICTIONARY|TEXT SEARCH PARSER|TEXT SEARCH TEMPLATE|TRANSFORM|TRIGGER|TYPE|USER MAPPING|VIEW"
)
_ENTRY = re.compile(rf"({_KINDS}) (.*)")


def read_errors(stderr: str) -> tuple[tuple[RestoreError, ...], bool]:
    """The errors in pg_restore's output, and whether they are all: their number is the one that it counted itself."""
    found: list[RestoreError] = []
    kind, entry, counted = "", "", 0
    for line in stderr.splitlines():
        if match := _HEADER.match(line):
            parts = _ENTRY.match(match[3])
            kind, entry = (parts[1], parts[2]) if parts else ("", match[3])
        elif match := _ERROR.match(line):
            found.append(RestoreError(kind, entry, match[1]))
        elif match := _IGNORED.match(line):
            counted = int(match[1])
    return tuple(found), len(found) == counted


def explain(
    errors: Collection[RestoreError], stood_in: Collection[Extension]
) -> tuple[tuple[str, ...], tuple[RestoreError, ...]]:
    """A sentence for each expected error, and the errors that nothing here expects.

    An object that could not be restored takes along what names it; that is expected too, but only by its exact name.
    Rows are never excused: an error of TABLE DATA stays, and the counts decide.
    """
    sentences: list[str] = []
    unexpected: list[RestoreError] = []
    missing: set[str] = set()
    for error in errors:
        reason = _reason(error, stood_in, missing)
        if reason is None:
            unexpected.append(error)
            continue
        missing.add(_tag(error.entry))
        sentences.append(f"{error.kind.capitalize()} {_shown(error.entry)}: {reason}.")
    return tuple(sentences), tuple(unexpected)


_SUPERUSER_KINDS = {
    "EVENT TRIGGER": r"permission denied to create event trigger",
    "SUBSCRIPTION": r"permission denied to create subscription|must be superuser to create subscription",
    "PUBLICATION": r"must be superuser to create (FOR ALL TABLES|FOR TABLES IN SCHEMA|a FOR)",
    "PUBLICATION TABLES IN SCHEMA": r"must be superuser to add or set schemas",
    "FOREIGN DATA WRAPPER": r"permission denied to create foreign-data wrapper|must be superuser",
    "PROCEDURAL LANGUAGE": r"permission denied|must be superuser",
    "CAST": r"must be superuser|must be owner of type",
    "TYPE": r"must be superuser",
    "OPERATOR CLASS": r"must be superuser",
    "OPERATOR FAMILY": r"must be superuser",
    "TEXT SEARCH TEMPLATE": r"must be superuser",
    "TEXT SEARCH PARSER": r"must be superuser",
    "ACCESS METHOD": r"permission denied|must be superuser",
    "TRANSFORM": r"permission denied|must be superuser",
}
_GRANTS = re.compile(
    r"permission denied|must be (able to SET ROLE|member|owner|superuser)|grantor must be|(no|dependent) privileges"
)
_LANGUAGE = re.compile(r"permission denied for language (.+)")
_SETTING = re.compile(r'permission denied to set parameter "(.+)"')
_LABEL = re.compile(r"(security label provider .+ is not loaded|no security label providers have been loaded)")
_NO_OPERATOR_CLASS = re.compile(r'has no default operator class for access method "(.+)"')
_MISSING_METHOD = re.compile(r'access method "(.+)" does not exist')
_MISSING = re.compile(
    r"(?:function|procedure|aggregate|operator class|operator|type|relation|view|server|foreign-data wrapper|language"
    r"|publication|subscription|event trigger|schema|text search (?:configuration|dictionary|template|parser))"
    r" (.+?)(?: for access method .+)? does not exist"
)


def _reason(error: RestoreError, stood_in: Collection[Extension], missing: set[str]) -> str | None:
    """Why this error says nothing about the backup, or None."""
    kind, message = error.kind, error.message
    if kind in ("TABLE DATA", ""):
        return None
    if kind in _SUPERUSER_KINDS and re.search(_SUPERUSER_KINDS[kind], message):
        return "only a superuser can create it, and a scratch database lends none"
    if kind in ("ACL", "DEFAULT ACL") and _GRANTS.search(message):
        return "a grant of another role, which only that role or a superuser can give"
    if kind in ("FUNCTION", "PROCEDURE") and (_LANGUAGE.search(message) or _SETTING.search(message)):
        return f"only a superuser can create it ({message})"
    if kind == "SECURITY LABEL" and _LABEL.search(message):
        return "its label provider is not in the scratch server"
    if kind == "COMMENT" and "must be owner of" in message:
        return "a comment on something that belongs to the server's superuser"
    if kind == "MATERIALIZED VIEW DATA":
        return f"it was not filled again ({message}); its rows come from tables that are held"
    return _missing_part(message, stood_in, missing)


def _missing_part(message: str, stood_in: Collection[Extension], missing: set[str]) -> str | None:
    for pattern in (_NO_OPERATOR_CLASS, _MISSING_METHOD):
        if match := pattern.search(message):
            owners = " or ".join(extension.name for extension in stood_in if match[1] in extension.access_methods)
            return f"its kind of index, {match[1]}, needs {owners}, only stood in for" if owners else None
    match = _MISSING.search(message)
    if match is None:
        return None
    names = set(_names(match[1]))
    for extension in stood_in:
        if names & extension.members:
            return f"it needs {match[1]} of {extension.name}, only stood in for"
    return f"it needs {match[1]}, named here before" if names & missing else None


def _names(text: str) -> tuple[str, str]:
    """The object's name in a server's message, as it is and without its schema: `app.total(integer)` gives `total`."""
    bare = re.sub(r"\(.*", "", text).strip()
    return bare.strip('"'), bare.rpartition(".")[2].strip('"')


def _tag(entry: str) -> str:
    """The object's own name in an entry, which reads "name owner", without a function's arguments."""
    return re.sub(r"\(.*", "", _shown(entry))


def _shown(entry: str) -> str:
    """The entry without the owner at its end."""
    return entry.rpartition(" ")[0] or entry
