"""The configuration: read once, checked whole, passed on as frozen values. Nothing else reads a file or the environment."""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Self
from urllib.parse import parse_qs
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import BeforeValidator
from pydantic import ConfigDict
from pydantic import Field
from pydantic import StrictInt
from pydantic import ValidationError
from pydantic import field_validator
from pydantic import model_validator

from ops.errors import OpsError
from ops.errors import Reason

_DURATION = re.compile(r"([1-9][0-9]{0,4})\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PERSON = re.compile(r"[UW][A-Z0-9]{2,20}")
_GROUP = re.compile(r"@[a-z0-9][a-z0-9._-]{0,79}")
_OS_ACTOR = re.compile(r"os:[A-Za-z0-9.-]{1,253}/[A-Za-z0-9._-]{1,64}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,20}")
_PROJECT_REF = re.compile(r"[a-z]{20}")


def parse_duration(text: object) -> timedelta:
    """`24h`, `30m`, `90s` or `7d` as a time span."""
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        msg = 'a duration is a number and a unit, such as "30m", "24h" or "7d"'
        raise ValueError(msg)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


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
    parts = urlsplit(text)
    if parts.scheme not in {"postgres", "postgresql"}:
        msg = "a database URL is $NAME, file:PATH, or postgresql://user@host/database without a password"
        raise ValueError(msg)
    if parts.password or "password" in parse_qs(parts.query):
        msg = "a password stands in the configuration file: put the URL into an environment variable and write $NAME here"
        raise ValueError(msg)
    return text


def _people_entry(text: str) -> str:
    if _GROUP.fullmatch(text) or _PERSON.fullmatch(text) or _OS_ACTOR.fullmatch(text):
        return text
    msg = (
        f"{text!r} is neither a group (@database-owners), nor a person's Slack id (U0BEN), nor os:HOST/LOGIN"
    )
    raise ValueError(msg)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
SecretReference = Annotated[str, AfterValidator(_secret_reference)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
PeopleEntry = Annotated[str, AfterValidator(_people_entry)]
Channel = Annotated[str, Field(pattern=_CHANNEL.pattern)]


class Table(BaseModel):
    """A table of the configuration file: frozen, and every key must be known."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Slack(Table):
    channel: Channel
    sql: Literal["file", "hash"] = "file"


class Audit(Table):
    path: Path = Path("var/audit.db")


class State(Table):
    path: Path = Path("var/state.db")


class Backup(Table):
    path: Path = Path("var/backups")


class Postgres(Table):
    bin: str = ""


class Health(Table):
    """One check that must hold before and after a run: a query that answers one true, or a URL with a status."""

    name: str = Field(min_length=1, max_length=80)
    sql: str | None = None
    url: str | None = None
    headers: Mapping[str, SecretReference] = Field(default_factory=dict)
    status: int = 200
    timeout_seconds: float = Field(default=5, gt=0, le=60)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.sql is None) == (self.url is None):
            msg = "a health check has either sql or url"
            raise ValueError(msg)
        return self


_NOT_BUILT = "this version does not know it yet, and a rule that is not kept is worse than none: leave it out"


class Environment(Table):
    """One environment of a project: where it is, and who must agree before it changes."""

    database_url: DatabaseUrl
    branch: str = Field(min_length=1, max_length=200)
    approvals: StrictInt = Field(ge=0, le=20)
    project_ref: str | None = None
    approvers: tuple[PeopleEntry, ...] = ()
    requesters: tuple[PeopleEntry, ...] = ()
    unknown_authors: Literal["show", "extra", "refuse"] = "show"
    after: tuple[str, ...] = ()
    backup: Literal["none", "intact", "restored", "identical"] | None = None
    rehearsal: Literal["off"] = "off"
    expires: Duration = timedelta(hours=24)
    confirm: Literal["click"] = "click"
    lock_patience: Duration = timedelta(minutes=5)
    statement_timeout: Duration | None = None
    health: tuple[Health, ...] = ()

    @field_validator("rehearsal", mode="before")
    @classmethod
    def _rehearsal_is_off(cls, value: object) -> object:
        if value in {"shown", "required"}:
            msg = f'rehearsal = "{value}": {_NOT_BUILT}, or say "off"'
            raise ValueError(msg)
        return value

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirm_is_a_click(cls, value: object) -> object:
        if value == "type":
            msg = f'confirm = "type": {_NOT_BUILT}, or say "click"'
            raise ValueError(msg)
        return value

    @field_validator("project_ref")
    @classmethod
    def _a_project_ref(cls, value: str | None) -> str | None:
        if value is not None and not _PROJECT_REF.fullmatch(value):
            msg = "a project reference is 20 lower-case letters, such as abcdefghijklmnopqrst"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _someone_can_approve(self) -> Self:
        if self.approvals and not self.approvers:
            msg = f'approvals = {self.approvals} but nobody may give them: add approvers = ["@group", "U0PERSON"]'
            raise ValueError(msg)
        return self

    @property
    def backup_level(self) -> str:
        """The level that must be proven before a statement runs: as said, else "restored" where people approve."""
        return self.backup or ("restored" if self.approvals else "none")

    def policy(self) -> dict[str, Any]:
        """The rules that an approval rests on, as they go into the digest (handles as written)."""
        return {
            "approvals": self.approvals,
            "approvers": sorted(self.approvers),
            "requesters": sorted(self.requesters),
            "unknown_authors": self.unknown_authors,
            "after": sorted(self.after),
            "backup": self.backup_level,
            "rehearsal": self.rehearsal,
            "expires_seconds": int(self.expires.total_seconds()),
            "confirm": self.confirm,
            "health": [check.model_dump(mode="json", exclude={"headers"}) for check in self.health],
        }


class Project(Table):
    repository: str = Field(min_length=1)
    supabase: str = "supabase"
    channel: Channel | None = None
    environments: dict[str, Environment] = Field(min_length=1)

    @field_validator("supabase")
    @classmethod
    def _inside_the_repository(cls, value: str) -> str:
        if value.startswith(("/", "-")) or ".." in value.split("/"):
            msg = "the supabase folder is a path inside the repository"
            raise ValueError(msg)
        return value.strip("/")

    @model_validator(mode="after")
    def _after_is_known(self) -> Self:
        for name, environment in self.environments.items():
            for earlier in environment.after:
                if earlier not in self.environments or earlier == name:
                    msg = f"environments.{name}.after names {earlier!r}, which is not another environment of this project"
                    raise ValueError(msg)
        return self


class Settings(Table):
    """The whole configuration; `folder` is what relative paths count from."""

    slack: Slack | None = None
    audit: Audit = Audit()
    state: State = State()
    backup: Backup = Backup()
    postgres: Postgres = Postgres()
    people: dict[str, Annotated[str, Field(pattern=_PERSON.pattern)]] = Field(default_factory=dict)
    projects: dict[str, Project] = Field(min_length=1)
    folder: Path = Field(default=Path(), exclude=True)
    sha256: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _names_are_plain(self) -> Self:
        for project, settings in self.projects.items():
            for name in (project, *settings.environments):
                if not _NAME.fullmatch(name):
                    msg = f"the name {name!r} must be lower-case letters, digits, - and _, at most 40, for it is typed"
                    raise ValueError(msg)
        return self

    def path(self, path: Path) -> Path:
        """A path of the configuration as an absolute one."""
        return (self.folder / path).absolute()

    @property
    def log_path(self) -> Path:
        return self.path(self.audit.path)

    def known_author(self, email: str) -> str | None:
        """The Slack id of a commit's author, or None: nobody is guessed."""
        lowered = email.strip().lower()
        return next((who for known, who in self.people.items() if known.lower() == lowered), None)


def load_settings(path: Path) -> Settings:
    """The configuration in this file. Raises OpsError(BAD_CONFIG) that names every mistake, its place and its cure."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise OpsError(
            Reason.BAD_CONFIG,
            f"The configuration {path} cannot be read: {error.strerror}.",
            "Make one with `countersign init`, or name it with --config or $COUNTERSIGN_CONFIG.",
        ) from error
    try:
        tables = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OpsError(
            Reason.BAD_CONFIG, f"{path} is not TOML: {error}.", "Mend that line and try again."
        ) from error
    try:
        settings = Settings.model_validate(tables)
    except ValidationError as error:
        lines = [_mistake(found) for found in error.errors(include_url=False, include_input=False)]
        raise OpsError(
            Reason.BAD_CONFIG,
            f"{path} has {len(lines)} mistake{'s' if len(lines) > 1 else ''}: " + "; ".join(lines) + ".",
            "countersign.example.toml explains every setting.",
        ) from error
    return settings.model_copy(
        update={"folder": path.absolute().parent, "sha256": hashlib.sha256(raw).hexdigest()}
    )


_CURES = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting that exists; is it spelt right?",
}


def _mistake(found: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in found["loc"]) or "the file"
    if place.endswith(".approvals") and found["type"] == "missing":
        return f"{place} is missing: say how many people must agree (0 for nobody)"
    if found["type"] == "extra_forbidden" and place.rsplit(".", 1)[-1] in {
        "windows",
        "hazards",
        "keep",
        "encrypt",
    }:
        return f"{place}: {_NOT_BUILT}"
    words = _CURES.get(found["type"]) or found["msg"].removeprefix("Value error, ")
    return f"{place} {words}" if found["type"] in _CURES else f"{place}: {words}"


def resolve_secret(reference: str, *, folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The secret behind `$NAME` or `file:PATH`; other text is returned as it is.

    Raises OpsError(BAD_CONFIG) that names the reference, never a value.
    """
    if reference.startswith("$"):
        value = environment.get(reference[1:], "")
        if not value.strip():
            raise OpsError(
                Reason.BAD_CONFIG,
                f"The environment variable {reference[1:]} is not set.",
                "Set it for the process that runs Countersign (the bot's, when the bot is up).",
            )
        return value.strip()
    if reference.startswith("file:"):
        path = folder / reference.removeprefix("file:")
        try:
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OpsError(
                Reason.BAD_CONFIG,
                f"The secret's file {path} cannot be read.",
                "Check the path and who may read it.",
            ) from error
    return reference


def policy_sha256(policy: Mapping[str, Any]) -> str:
    """A short name for a policy, for the log."""
    return hashlib.sha256(json.dumps(policy, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
