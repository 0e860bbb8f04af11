"""What the Management API says and takes, as frozen values. Unknown keys are passed over: the API grows.

Shapes: supabase/cli, packages/api/src/generated/openapi.json (read 2026-11-22), and what the CLI 3.1.0 asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import SecretStr


class Model(BaseModel):
    """One object of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Function(Model):
    """An edge function as it runs. `version` only counts; `created_at` and `updated_at` are milliseconds since 1970.

    `ezbr_sha256` names the bundle. Whether equal sources give an equal one is not promised.
    """

    id: str
    slug: str
    name: str
    status: str
    version: int
    created_at: int | None = None
    updated_at: int | None = None
    verify_jwt: bool | None = None
    import_map: bool | None = None
    entrypoint_path: str | None = None
    import_map_path: str | None = None
    ezbr_sha256: str | None = None


class FunctionMetadata(Model):
    """How the files of a function become one: goes along with a deployment. Paths count from the repository's root."""

    entrypoint_path: str
    import_map_path: str | None = None
    static_patterns: tuple[str, ...] = ()
    verify_jwt: bool | None = None
    name: str

    def to_json(self) -> dict[str, Any]:
        """As the CLI writes it: in this order, without what is not said."""
        return {key: value for key, value in self.model_dump(mode="json").items() if value is not None}


@dataclass(frozen=True)
class FunctionFile:
    """One source file of a function; `path` counts from the repository's root, such as supabase/functions/hello/index.ts."""

    path: str
    content: bytes


@dataclass(frozen=True)
class FunctionBody:
    """What a function runs, as it can be downloaded and deployed again. `metadata` is what the API said about it."""

    metadata: Mapping[str, Any]
    files: tuple[FunctionFile, ...]


class Secret(Model):
    """A secret's name and the digest that the API gives for its value; the value itself is never given."""

    name: str
    value: str
    updated_at: str | None = None

    @property
    def digest(self) -> str:
        return self.value


class ProjectDatabase(Model):
    host: str = ""
    version: str = ""
    postgres_engine: str = ""


class Project(Model):
    """The project that a reference names."""

    id: str
    name: str
    region: str = ""
    status: str = ""
    organization_id: str = ""
    database: ProjectDatabase = ProjectDatabase()


class ServiceHealth(Model):
    """Whether one service of the project is well. `status` is COMING_UP, ACTIVE_HEALTHY or UNHEALTHY."""

    name: str
    healthy: bool
    status: str = ""
    error: str | None = None


class ManagedBackup(Model):
    """A backup that Supabase keeps. `status` is COMPLETED, FAILED, PENDING, REMOVED, ARCHIVED or CANCELLED."""

    id: int | None = None
    is_physical_backup: bool = False
    status: str
    inserted_at: str


class PhysicalBackups(Model):
    """The time span that point-in-time recovery reaches, in seconds since 1970; empty where there is none."""

    earliest_physical_backup_date_unix: int | None = None
    latest_physical_backup_date_unix: int | None = None


class ManagedBackups(Model):
    """All backups that Supabase keeps of the project, and whether it can go back to any moment."""

    region: str = ""
    walg_enabled: bool = False
    pitr_enabled: bool = False
    backups: tuple[ManagedBackup, ...] = ()
    physical_backup_data: PhysicalBackups = PhysicalBackups()


class RestorePoint(Model):
    """A named moment that can be gone back to once its `status` is AVAILABLE (before: PENDING; else REMOVED, FAILED)."""

    name: str
    status: str
    completed_on: str | None = None


class LoginRole(Model):
    """A temporary login of the database. Its password stays covered in every text of this value."""

    role: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    password: SecretStr = Field(min_length=1)
    ttl_seconds: int = Field(gt=0)


class ApiKey(Model):
    """A key for the project's own doors (REST, Auth…). `type` is legacy, publishable or secret; the key stays covered."""

    name: str
    api_key: SecretStr | None = None
    type: str | None = None


class Lint(Model):
    """One finding of the advisors. `cache_key` is the same for the same finding."""

    name: str
    title: str
    level: str
    detail: str = ""
    description: str = ""
    remediation: str | None = None
    categories: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    cache_key: str


class Pooler(Model):
    """How the project's pooler is reached. `db_port` may be the one of transaction mode (6543)."""

    database_type: str = "PRIMARY"
    db_user: str
    db_host: str
    db_port: int
    db_name: str
    pool_mode: str = ""


class Types(Model):
    types: str


class Lints(Model):
    lints: tuple[Lint, ...]


class LogRows(Model):
    """An answer to a query of the logs; an `error` may come with status 200."""

    result: tuple[Mapping[str, Any], ...] = ()
    error: Any = None


class Functions(Model):
    functions: tuple[Function, ...]
