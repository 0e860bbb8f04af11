"""What a single value of the configuration may be: each kind of value with the sentence that a wrong one gets."""

import difflib
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Self
from urllib.parse import parse_qs
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import BeforeValidator
from pydantic import ConfigDict
from pydantic import Field
from pydantic import model_validator

if TYPE_CHECKING:
    from ops.windows import Period

from ops.rules import OWN

_DURATION = re.compile(r"([1-9][0-9]{0,4})\s*(s|m|h|d)")
_SIZE = re.compile(r"([1-9][0-9]{0,4})\s*(kB|MB|GB)")
_POWERS = {"kB": 10, "MB": 20, "GB": 30}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PERSON = re.compile(r"[UW][A-Z0-9]{2,20}")
_GROUP = re.compile(r"@[a-z0-9][a-z0-9._-]{0,79}")
_OS_ACTOR = re.compile(r"os:[A-Za-z0-9.-]{1,253}/[A-Za-z0-9._-]{1,64}")
_SECRET_NAME = re.compile("key|token|secret|password|signature", re.IGNORECASE)
LOGIN_SCHEME = "supabase:"
"""Begins a database_url without a login: each is asked for when it is needed. Behind it nothing, or //host:port/database."""
_LOGIN_URL = re.compile(r"supabase:(?://[A-Za-z0-9.-]{1,253}(?::([0-9]{1,5}))?(?:/[A-Za-z0-9_-]{1,63})?)?")


def shaped(pattern: str | re.Pattern[str], wanted: str) -> AfterValidator:
    """A text that has this shape as a whole; any other gets the sentence `wanted`, where {text} is that text, quoted."""
    shape = re.compile(pattern)

    def check(text: str) -> str:
        if not shape.fullmatch(text):
            raise ValueError(wanted.replace("{text}", repr(text)))
        return text

    return AfterValidator(check)


def parse_duration(text: object) -> timedelta:
    """`24h`, `30m`, `90s` or `7d` as a time span."""
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        msg = 'a duration is a number and a unit, such as "30m", "24h" or "7d"'
        raise ValueError(msg)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _byte_count(value: object) -> int:
    """`64MB` or `1GB` in bytes, counted as Postgres counts them; `off` is none at all."""
    if value == "off":
        return 0
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        msg = 'a size is a number and a unit, such as "64MB" or "1GB", or "off"'
        raise ValueError(msg)
    return int(match[1]) << _POWERS[match[2]]


def _secret_reference(text: str) -> str:
    if text.startswith("$"):
        if not re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", text):
            msg = "the name of an environment variable has letters, digits and _ only, such as $SHOP_DATABASE_URL"
            raise ValueError(msg)
        return text
    if text.startswith("file:") and len(text) > len("file:"):
        return text
    msg = "a secret is given by name only: $NAME (an environment variable) or file:PATH"
    raise ValueError(msg)


def _database_url(text: str) -> str:
    """A reference to a secret, or a URL that holds no password (then the server trusts this host)."""
    if text.startswith(("$", "file:")):
        return _secret_reference(text)
    if text.startswith(LOGIN_SCHEME):
        match = _LOGIN_URL.fullmatch(text)
        if match is None or not 0 < int(match[1] or 1) < 65536:
            msg = 'temporary logins are "supabase:" alone, or supabase://host:port/database, without a user'
            raise ValueError(msg)
        return text
    msg = "a database URL is $NAME, file:PATH, or postgresql://user@host/database without a password"
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(msg) from None  # the cause quotes the URL, and perhaps the password in it
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError(msg)
    # an @ or a # further on: the password holds a / ? or #, and cannot be told from the rest
    hidden = "@" in parts.path + parts.query or "#" in text
    if parts.password or hidden or any("password" in name.lower() for name in parse_qs(parts.query)):
        msg = (
            "a password stands in the configuration file: put the URL into an environment variable and write $NAME here"
        )
        raise ValueError(msg)
    return text


def _health_url(text: str) -> str:
    """A web address without a secret: it goes into what people approve, into the log and into Slack."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        msg = "a health check asks https://… or http://…"
        raise ValueError(msg)
    if "@" in parts.netloc or any(_SECRET_NAME.search(name) for name in parse_qs(parts.query)):
        msg = 'a secret stands in the URL: send it as a header, headers = { apikey = "$NAME" }'
        raise ValueError(msg)
    return text


def _repository(text: str) -> str:
    if "://" in text and "@" in text and not re.match(r"ssh://[^:@/]+@[^@]*\Z", text):
        msg = "no user name, password or token in the URL: git has credential helpers and ~/.netrc for them"
        raise ValueError(msg)
    return text


def _folder(text: str) -> str:
    if text.startswith(("/", "-")) or ".." in text.split("/"):
        msg = "the supabase folder is a path inside the repository"
        raise ValueError(msg)
    return text.strip("/")


def _repository_file(text: str) -> str:
    parts = text.split("/")
    if not text or text.startswith("-") or {"", ".", "..", ".git"} & set(parts) or not text.isprintable():
        msg = "it is the path of a file inside the repository, such as src/database.types.ts"
        raise ValueError(msg)
    return text


def _people_entry(text: str) -> str:
    if _GROUP.fullmatch(text) or _PERSON.fullmatch(text) or _OS_ACTOR.fullmatch(text):
        return text
    msg = f"{text!r} is neither a group (@database-owners), nor a person's Slack id (U0BEN), nor os:HOST/LOGIN"
    raise ValueError(msg)


def _hazard_class(text: str) -> str:
    # Here because reading the rules takes longer than all other settings together, and few configurations name a class.
    from ops.hazards.model import HazardClass

    known = [one.value for one in HazardClass]
    if text not in known:
        near = difflib.get_close_matches(text.lower(), known, n=1, cutoff=0.6)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        msg = f"{text!r} is no class of hazards: {meant}"
        raise ValueError(msg)
    return text


def _rule_name(text: str) -> str:
    if text == OWN:
        msg = f'"{OWN}" is the name of the rule that the environment\'s own approvals and approvers are: take another'
        raise ValueError(msg)
    return text


def _age_recipients(value: object) -> object:
    """One public key, or several in a list."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        msg = 'backups are sealed for a public key of age, "age1…", or for several in a list'
        raise ValueError(msg)
    # Here because few configurations seal, and a mistyped key must not be found when the backup is needed.
    from ops.sealing import check_recipient

    for text in texts:
        check_recipient(text)
    return tuple(texts)


def _drift_check(value: object) -> object:
    """`off` as no time at all. A look at the whole schema more often than each minute would be a load of its own."""
    if value == "off":
        return timedelta(0)
    every = parse_duration(value)
    if every < timedelta(minutes=1):
        msg = 'a look at the target takes its time: at least "1m", or "off"'
        raise ValueError(msg)
    return every


def _watch(value: object) -> object:
    """`off` as no time at all. Longer than a day would be no watch over one run."""
    if value == "off":
        return timedelta(0)
    lasts = parse_duration(value)
    if lasts > timedelta(days=1):
        msg = 'a run is watched for at most "24h", or "off"'
        raise ValueError(msg)
    return lasts


def _standby_lag(value: object) -> timedelta:
    """No time at all stands for `off`."""
    return timedelta(0) if value == "off" else parse_duration(value)


def _window(text: str) -> str:
    # Here, as below, because time zones take their time to load, and few configurations have windows.
    from ops.windows import parse_window

    parse_window(text)
    return text


_LOCK_TIMEOUT = re.compile(r"([1-9][0-9]{0,4})\s*(ms|s)")


def _lock_timeout(value: object) -> timedelta:
    """`500ms` or `2s`. The first try waits 100 ms, so less than that says nothing; more than a minute is no limit."""
    match = _LOCK_TIMEOUT.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = int(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not 0.1 <= seconds <= 60:
        msg = 'a wait for a lock is at least "100ms" and at most "60s"'
        raise ValueError(msg)
    return timedelta(seconds=seconds)


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ValueError, KeyError, OSError):  # not a name at all, one that nobody knows, a folder of names
        msg = 'a time zone is named as in the tz database, such as "Europe/London" or "UTC"'
        raise ValueError(msg) from None


AgeRecipients = Annotated[tuple[str, ...], BeforeValidator(_age_recipients)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
StandbyLag = Annotated[timedelta, BeforeValidator(_standby_lag)]
ByteCount = Annotated[int, BeforeValidator(_byte_count)]
SecretReference = Annotated[str, AfterValidator(_secret_reference)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
PeopleEntry = Annotated[str, AfterValidator(_people_entry)]
Login = Annotated[
    str,
    shaped(
        _OS_ACTOR,
        "{text} is no login of a terminal: write os:HOST/LOGIN, as `countersign audit query` names who did something",
    ),
]
Name = Annotated[
    str,
    shaped(
        "[a-z0-9][a-z0-9_-]{0,39}",
        "the name {text} must be lower-case letters, digits, - and _, at most 40, for it is typed",
    ),
]
Channel = Annotated[
    str,
    shaped(
        "[CG][A-Z0-9]{2,20}",
        "a channel is given by its id, such as C0DEPLOYS (in Slack: the channel's name, About, at the bottom)",
    ),
]
PersonId = Annotated[
    str,
    shaped(_PERSON, "a person is given by their Slack id, such as U0ANA (in Slack: their profile, ⋮, Copy member ID)"),
]
HealthUrl = Annotated[str, AfterValidator(_health_url)]
RepositoryUrl = Annotated[str, AfterValidator(_repository)]
RepositoryFile = Annotated[str, AfterValidator(_repository_file)]
SupabaseFolder = Annotated[str, AfterValidator(_folder)]
ProjectRef = Annotated[
    str, shaped("[a-z]{20}", "a project reference is 20 lower-case letters, such as abcdefghijklmnopqrst")
]
HazardClassName = Annotated[str, AfterValidator(_hazard_class)]
ZoneName = Annotated[str, AfterValidator(_zone)]
RuleName = Annotated[Name, AfterValidator(_rule_name)]
LockTimeout = Annotated[timedelta, BeforeValidator(_lock_timeout)]
DriftCheck = Annotated[timedelta, BeforeValidator(_drift_check)]
Watch = Annotated[timedelta, BeforeValidator(_watch)]
WindowText = Annotated[str, AfterValidator(_window)]


class Table(BaseModel):
    """A table of the configuration file: frozen, and every key must be known."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Backup(Table):
    """Where backups lie, for how long, for which keys of age they are sealed, and the secret key to open them with."""

    path: Path = Path("var/backups")
    keep: Duration | None = None
    encrypt: AgeRecipients = ()
    identity: SecretReference | None = None


class ConfiguredFreeze(Table):
    """From one moment until before another nobody begins a run, and why."""

    since: str = Field(alias="from")
    to: str
    because: str = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        freeze = self.between
        if freeze.to <= freeze.since:
            msg = f"the freeze ends ({self.to}) before it begins ({self.since})"
            raise ValueError(msg)
        return self

    @property
    def between(self) -> "Period":
        """The same as moments. Raises ValueError for what is none."""
        from ops.windows import Period
        from ops.windows import parse_moment

        return Period(parse_moment(self.since, is_end=False), parse_moment(self.to, is_end=True), self.because)


class HazardRule(Table):
    """What one class of hazards takes: more people, other people, or that nothing of the kind is ever run."""

    approvals: int = Field(default=0, strict=True, ge=1, le=20)
    approvers: tuple[PeopleEntry, ...] = ()
    refused: bool = Field(default=False, strict=True)
    second_factor: bool = Field(default=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _as_a_word(cls, value: object) -> object:
        if isinstance(value, str):
            if value != "refused":
                msg = 'a class of hazards takes { approvals = 3 }, { approvers = ["@security"] }, both, or is "refused"'
                raise ValueError(msg)
            return {"refused": True}
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if "approvers" in self.model_fields_set and not self.approvers:
            msg = "approvers must not be empty: name a @group or a person, or leave it out"
            raise ValueError(msg)
        asks = bool(self.approvals or self.approvers or self.second_factor)
        if asks == self.refused:
            msg = (
                "what is refused is approved by nobody: say refused, or who must agree"
                if asks
                else 'say what this class takes: approvals = 3, approvers = ["@security"], or "refused"'
            )
            raise ValueError(msg)
        return self

    def policy(self) -> dict[str, Any] | str:
        """The rule as it goes into the digest; `approvals` 0: as many as the environment asks for."""
        if self.refused:
            return "refused"
        codes = {"second_factor": True} if self.second_factor else {}
        return {"approvals": self.approvals, "approvers": sorted(self.approvers), **codes}


class ApprovalRule(Table):
    """A rule beside the environment's own: so many more people, of these, each of whom fills no other place.

    With `for` it is skipped where the plan has no hazard of those classes at the level caution or worse.
    """

    name: RuleName
    approvers: tuple[PeopleEntry, ...] = Field(min_length=1)
    approvals: int = Field(default=1, strict=True, ge=1, le=20)
    classes: tuple[HazardClassName, ...] = Field(default=(), alias="for")

    def policy(self) -> dict[str, Any]:
        """The rule as it goes into the digest."""
        approvers, classes = sorted(set(self.approvers)), sorted(set(self.classes))
        return {"name": self.name, "approvals": self.approvals, "approvers": approvers, "for": classes}
