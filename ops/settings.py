"""The configuration: read once, checked whole, passed on as frozen values, with secrets by name only."""

import codecs
import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Self
from typing import get_args

from pydantic import Field
from pydantic import ValidationError
from pydantic import field_validator
from pydantic import model_validator

from ops.audit_settings import Audit
from ops.ci_settings import Ci
from ops.ci_settings import Github
from ops.ci_settings import check_ci
from ops.environment import Environment
from ops.errors import OpsError
from ops.errors import Reason
from ops.listener_settings import Listener
from ops.setting_values import Backup
from ops.setting_values import Channel
from ops.setting_values import Login
from ops.setting_values import Name
from ops.setting_values import PersonId
from ops.setting_values import RepositoryFile
from ops.setting_values import RepositoryUrl
from ops.setting_values import SecretReference
from ops.setting_values import SupabaseFolder
from ops.setting_values import Table
from ops.setting_values import ZoneName


class Slack(Table):
    channel: Channel
    emergency_channel: Channel | None = None
    sql: Literal["file", "hash"] = "file"
    time_zone: ZoneName = "UTC"


class State(Table):
    path: Path = Path("var/state.db")


class Postgres(Table):
    bin: str = ""
    encrypted_folder: str = ""


class SecondFactor(Table):
    """The key that secrets of one-time codes are sealed with, as `age-keygen` writes it, and the folder of the files.

    `enrollers` may give people a second factor, beside the login that runs Countersign.
    """

    key: SecretReference
    path: Path = Path("var/second-factor")
    enrollers: tuple[Login, ...] = ()


class Supabase(Table):
    """The token for Supabase's Management API; a project may name its own. Not set: only databases are looked after."""

    access_token: SecretReference = "$SUPABASE_ACCESS_TOKEN"


class Project(Table):
    repository: RepositoryUrl = Field(min_length=1)
    access_token: SecretReference | None = None
    supabase: SupabaseFolder = "supabase"
    types: RepositoryFile | None = None
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
    supabase: Supabase = Supabase()
    second_factor: SecondFactor | None = None
    listener: Listener | None = None
    ci: Ci | None = None
    github: Github | None = None
    people: dict[str, PersonId] = Field(default_factory=dict)
    projects: dict[Name, Project] = Field(min_length=1)

    @model_validator(mode="after")
    def _codes_can_be_judged(self) -> Self:
        if self.second_factor is not None:
            return self
        for project, tables in self.projects.items():
            for name, environment in tables.environments.items():
                if environment.takes_codes:
                    msg = (
                        f"projects.{project}.environments.{name} asks for a second factor, but no key for their secrets is "
                        'named: add [second_factor] with key = "$NAME" or "file:PATH"'
                    )
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _ci_asks_for_what_is_there(self) -> Self:
        known = {name: set(project.environments) for name, project in self.projects.items()}
        if self.ci is not None:
            check_ci(self.ci, is_reachable=self.listener is not None, known=known)
        if self.github is not None and (missing := sorted(set(self.github.repositories) - set(known))):
            msg = f"github.repositories names the project {missing[0]}, which is not configured"
            raise ValueError(msg)
        return self

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
    """The whole configuration. `folder` is what relative paths count from, `sha256` names the `file` as it was read."""

    folder: Path = Path()
    file: Path = Path()
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


def no_settings(path: Path) -> Settings:
    """For what needs no configuration, where there is none: every default, and no project."""
    return Settings.model_construct(folder=path.parent, file=path, projects={})


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
    place = {"folder": folder, "file": path.absolute(), "sha256": hashlib.sha256(raw).hexdigest()}
    return Settings(**{**dict(found), "postgres": tools, **place})


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
