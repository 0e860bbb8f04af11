"""The configuration: read once, checked whole, passed on as frozen values, with secrets by name only."""

import codecs
import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Self
from typing import get_args

from pydantic import Field
from pydantic import ValidationError
from pydantic import field_validator
from pydantic import model_validator

from ops.errors import OpsError
from ops.errors import Reason
from ops.setting_values import Backup
from ops.setting_values import ByteCount
from ops.setting_values import Channel
from ops.setting_values import DatabaseUrl
from ops.setting_values import DriftCheck
from ops.setting_values import Duration
from ops.setting_values import HazardClassName
from ops.setting_values import HazardRule
from ops.setting_values import HealthUrl
from ops.setting_values import LockTimeout
from ops.setting_values import Name
from ops.setting_values import PeopleEntry
from ops.setting_values import PersonId
from ops.setting_values import ProjectRef
from ops.setting_values import RepositoryUrl
from ops.setting_values import SecretReference
from ops.setting_values import StandbyLag
from ops.setting_values import SupabaseFolder
from ops.setting_values import Table
from ops.setting_values import Watch


class Slack(Table):
    channel: Channel
    sql: Literal["file", "hash"] = "file"


class Audit(Table):
    path: Path = Path("var/audit.db")


class State(Table):
    path: Path = Path("var/state.db")


class Postgres(Table):
    bin: str = ""
    encrypted_folder: str = ""


class Health(Table):
    """One check that must hold before and after a run: a query that answers one true, or a URL with a status."""

    name: str = Field(min_length=1, max_length=80)
    sql: str | None = None
    url: HealthUrl | None = None
    headers: Mapping[str, SecretReference] = Field(default_factory=dict)
    status: int = Field(default=200, strict=True, ge=100, le=599)
    timeout_seconds: float = Field(default=5, strict=True, gt=0, le=60)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.sql is None) == (self.url is None):
            msg = "a health check has either sql or url, and not both"
            raise ValueError(msg)
        return self


_NOT_BUILT = "this version does not know it yet, and a rule that is not kept is worse than none: leave it out"


class Environment(Table):
    """One environment of a project: where it is, and who must agree before it changes."""

    database_url: DatabaseUrl
    branch: str = Field(min_length=1, max_length=200)
    approvals: int = Field(strict=True, ge=0, le=20)
    project_ref: ProjectRef | None = None
    approvers: tuple[PeopleEntry, ...] = ()
    requesters: tuple[PeopleEntry, ...] = ()
    unknown_authors: Literal["show", "extra", "refuse"] = "show"
    after: tuple[str, ...] = ()
    backup: Literal["none", "intact", "restored", "identical"] | None = None
    rehearsal: Literal["off", "shown", "required"] | None = None
    with_data: bool = Field(default=False, strict=True)
    isolation: Literal["none", "partial", "full"] = "none"
    hazards: dict[HazardClassName, HazardRule] = Field(default_factory=dict)
    overriders: tuple[PeopleEntry, ...] = ()
    drift_check: DriftCheck | None = None
    watch: Watch | None = None
    expires: Duration = timedelta(hours=24)
    confirm: Literal["click"] = "click"
    lock_patience: Duration = timedelta(minutes=5)
    lock_timeout: LockTimeout = timedelta(seconds=2)
    statement_timeout: Duration | None = None
    standby_lag: StandbyLag = timedelta(seconds=10)
    standby_lag_bytes: ByteCount = 64 * 2**20
    prior_copy: ByteCount | None = None
    prior_copy_keep: Duration = timedelta(days=14)
    health: tuple[Health, ...] = ()

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirm_is_a_click(cls, value: object) -> object:
        if value == "type":
            msg = f'confirm = "type": {_NOT_BUILT}, or say "click"'
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _someone_can_approve(self) -> Self:
        if self.approvals and not self.approvers:
            msg = f'approvals = {self.approvals} but nobody may give them: add approvers = ["@group", "U0PERSON"]'
            raise ValueError(msg)
        people = set(self.approvers)
        if not _may_be_enough(people, self.approvals):
            msg = f"approvals = {self.approvals} but only {len(people)} may give them: name more approvers, or a @group"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _hazards_ask_for_more(self) -> Self:
        for name, rule in self.hazards.items():
            people = {*self.approvers, *rule.approvers}
            if rule.approvals and rule.approvals <= self.approvals:
                msg = (
                    f"hazards.{name}.approvals = {rule.approvals} is no more than approvals = {self.approvals}, which "
                    "everything takes: say more, or leave it out"
                )
                raise ValueError(msg)
            if not _may_be_enough(people, rule.approvals):
                msg = (
                    f"hazards.{name}.approvals = {rule.approvals} but only {len(people)} may give them: name more "
                    "approvers, or a @group"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _data_is_for_a_rehearsal(self) -> Self:
        if self.with_data and self.rehearsal_level == "off":
            msg = 'with_data = true, but nothing is rehearsed here: say rehearsal = "shown" or "required"'
            raise ValueError(msg)
        return self

    @property
    def backup_level(self) -> str:
        """The level that must be proven before a statement runs: as said, else "restored" where people approve."""
        return self.backup or ("restored" if self.approvals else "none")

    @property
    def rehearsal_level(self) -> str:
        """off, shown (a failed rehearsal is told) or required (it ends the asking): as said, else as people approve."""
        return self.rehearsal or ("required" if self.approvals else "off")

    @property
    def drift_every(self) -> timedelta | None:
        """How often the target is looked at for what came from outside; None: never."""
        every = self.drift_check if self.drift_check is not None else timedelta(hours=1 if self.approvals else 0)
        return every or None

    @property
    def watch_for(self) -> timedelta | None:
        """How long the target is watched behind a run: as said, else 10 min where people approve; None: not at all."""
        lasts = self.watch if self.watch is not None else timedelta(minutes=10 if self.approvals else 0)
        return lasts or None

    def policy(self) -> dict[str, Any]:
        """The rules that an approval rests on, as they go into the digest (handles as written)."""
        return {
            "approvals": self.approvals,
            "approvers": sorted(self.approvers),
            "requesters": sorted(self.requesters),
            "unknown_authors": self.unknown_authors,
            "after": sorted(self.after),
            "backup": self.backup_level,
            "rehearsal": self.rehearsal_level,
            "with_data": self.with_data,
            "isolation": self.isolation,
            "hazards": {name: rule.policy() for name, rule in sorted(self.hazards.items())},
            "overriders": sorted(self.overriders),
            "expires_seconds": int(self.expires.total_seconds()),
            "confirm": self.confirm,
            "health": [check.model_dump(mode="json", exclude={"headers"}) for check in self.health],
        }


def _may_be_enough(people: set[str], approvals: int) -> bool:
    """Whether so many could agree; nobody knows yet how many are in a group."""
    return len(people) >= approvals or any(entry.startswith("@") for entry in people)


class Project(Table):
    repository: RepositoryUrl = Field(min_length=1)
    supabase: SupabaseFolder = "supabase"
    channel: Channel | None = None
    environments: dict[Name, Environment] = Field(min_length=1)

    @model_validator(mode="after")
    def _after_is_known(self) -> Self:
        for name, environment in self.environments.items():
            for earlier in environment.after:
                if earlier not in self.environments or earlier == name:
                    msg = f"environments.{name}.after names {earlier!r}, which is no other environment of this project"
                    raise ValueError(msg)
            if name in self._all_before(name):
                msg = f"environments.{name}.after comes round to {name} again, so nothing could ever be pushed there"
                raise ValueError(msg)
        return self

    def _all_before(self, name: str) -> set[str]:
        """Every environment that this one comes after, directly or not."""
        found: set[str] = set()
        waiting = list(self.environments[name].after)
        while waiting:
            earlier = waiting.pop()
            if earlier not in found and earlier in self.environments:
                found.add(earlier)
                waiting += self.environments[earlier].after
        return found


class Tables(Table):
    """All that a configuration file can say."""

    slack: Slack | None = None
    audit: Audit = Audit()
    state: State = State()
    backup: Backup = Backup()
    postgres: Postgres = Postgres()
    people: dict[str, PersonId] = Field(default_factory=dict)
    projects: dict[Name, Project] = Field(min_length=1)

    @field_validator("people")
    @classmethod
    def _nobody_is_two(cls, value: dict[str, str]) -> dict[str, str]:
        seen: dict[str, str] = {}
        for known, who in value.items():
            if seen.setdefault(known.strip().lower(), who) != who:
                msg = f"{known} is two people: capital letters make no difference here"
                raise ValueError(msg)
        return value


class Settings(Tables):
    """The whole configuration. `folder` is what relative paths count from, `sha256` names the file as it was read."""

    folder: Path = Path()
    sha256: str = ""

    def path(self, path: Path) -> Path:
        """A path of the configuration as an absolute one."""
        return (self.folder / path).absolute()

    @property
    def log_path(self) -> Path:
        return self.path(self.audit.path)

    def known_author(self, email: str) -> str | None:
        """The Slack id of a commit's author, or None: nobody is guessed."""
        lowered = email.strip().lower()
        return next((who for known, who in self.people.items() if known.strip().lower() == lowered), None)


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
    return read_settings(raw, path)


def read_settings(raw: bytes, path: Path) -> Settings:
    """The same from what is, or is going to be, in the file; nothing is read."""
    try:
        tables = tomllib.loads(raw.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = f"{path} is not UTF-8 text (at line {line})."
        raise OpsError(Reason.BAD_CONFIG, message, "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        message = f"{path} is not TOML: {error}."
        raise OpsError(Reason.BAD_CONFIG, message, "Mend that line and try again.") from None
    except RecursionError:
        raise OpsError(Reason.BAD_CONFIG, f"{path} is nested too deeply to be read.", "Take it apart.") from None
    try:
        found = Tables.model_validate(tables)
    except ValidationError as error:
        lines = [_mistake(one) for one in error.errors(include_url=False, include_input=False)]
        raise OpsError(
            Reason.BAD_CONFIG,
            f"{path} has {len(lines)} mistake{'s' if len(lines) > 1 else ''}: " + "; ".join(lines) + ".",
            "countersign.example.toml explains every setting.",
        ) from None  # the cause holds the values
    folder = path.absolute().parent
    tools = found.postgres.model_copy(update={"bin": found.postgres.bin and str(folder / found.postgres.bin)})
    return Settings(**{**dict(found), "postgres": tools}, folder=folder, sha256=hashlib.sha256(raw).hexdigest())


_CURES = {
    "missing": "is missing",
    "dict_type": "must be a table of its own",
    "model_type": "must be a table of its own",
    "mapping_type": "must be a table of its own",
    "tuple_type": 'must be a list, such as ["dev"]',
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "path_type": "must be text in quotes",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def _mistake(found: Mapping[str, Any]) -> str:
    """One mistake as a person reads it: the place, then what is wrong or what to do. Never the value."""
    place = [str(part) for part in found["loc"] if part != "[key]"]
    name = place[-1] if place else ""
    shown = ".".join(place) or "the file"
    if found["type"] == "missing" and name == "approvals":
        return f"{shown} is missing: say how many people must agree (0 for nobody)"
    if found["type"] == "extra_forbidden":
        if name == "windows":
            return f"{shown}: {_NOT_BUILT}"
        near = difflib.get_close_matches(name.lower(), _settings_at(place), n=1, cutoff=0.6)
        return f"{shown} is not a setting that exists" + (f": did you mean {near[0]}?" if near else "")
    if found["type"] in _CURES:
        return f"{shown} {_CURES[found['type']]}"
    return f"{shown}: {found['msg'].removeprefix('Value error, ')}"


def _settings_at(place: Sequence[str]) -> list[str]:
    """The settings that exist where `place` is, to find which one was meant."""
    table: type[Table] = Tables
    for part in place[:-1]:
        setting = table.model_fields.get(part)
        table = (_table_of(setting.annotation) if setting else None) or table
    return list(table.model_fields)


def _table_of(annotation: object) -> type[Table] | None:
    """The table that a setting holds, itself, by name or in a list; None where it is a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_of(part))), None)


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
            value = path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            value = ""
        if not value:
            message = f"The secret's file {path} cannot be read, or is empty."
            raise OpsError(Reason.BAD_CONFIG, message, "Check the path and who may read it.") from None
        return value
    return reference


def policy_sha256(policy: Mapping[str, Any]) -> str:
    """A short name for a policy, for the log."""
    return hashlib.sha256(json.dumps(policy, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
