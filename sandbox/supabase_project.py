"""One Supabase project in memory: its functions, secrets, backups, health, advisors, logs and logins, and what calls do.

Shapes as the Management API's, as the CLI 3.1.0 takes them. What the real API does and nobody has seen is guessed plainly.
"""

import hashlib
import json
import re
import secrets
import time
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from ops.supabase.multipart import Part

SERVICES = ("auth", "db", "db_postgres_user", "pg_bouncer", "pooler", "realtime", "rest", "storage")
BOUNDARY = "sandbox-boundary-4f1c"
LONGEST_VALUE_BYTES = 24_576
MOST_SECRETS = 100
_FUNCTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class ApiProblem(Exception):
    """An answer that is an error: a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Asked:
    """One call as it came: the path's parts that vary, the query, the JSON or the parts of the body."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    json: Any
    parts: Sequence[Part]


@dataclass(frozen=True)
class Answered:
    """What is answered: `body` is JSON unless it is bytes of `content_type`."""

    status: int
    body: Any
    content_type: str = "application/json"


@dataclass
class FakeFunction:
    """A function: what the API says of it, the metadata and files that it was deployed with, and how it answers."""

    said: dict[str, Any]
    metadata: dict[str, Any]
    files: list[tuple[str, bytes]]
    boots: bool = True


@dataclass
class FakeProject:
    """The state behind one reference. Tests and the demo change it at will, under the server's `lock`."""

    ref: str
    name: str = "shop"
    clock: Callable[[], float] = time.time
    database_url: str = ""
    """A superuser's address of a real Postgres, where login roles are made; empty: they are only words."""
    login_ttl_seconds: int = 3600
    logins: dict[str, str] = field(default_factory=dict)
    """Each temporary login that was given out, and its password."""
    functions: dict[str, FakeFunction] = field(default_factory=dict)
    bundles: dict[str, FakeFunction] = field(default_factory=dict)
    body_root: str = ""
    """Put before the paths that it says where a function's parts lie, such as file:///tmp/user_fn_x_1/source/."""
    lost: tuple[str, ...] = ()
    """Files whose paths end so do not come back with a body."""
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name to value and time of the last change; the API tells a digest of the value."""
    backups: list[dict[str, Any]] = field(default_factory=list)
    pitr: tuple[int, int] | None = None
    """The oldest and newest moment that can be gone back to, in seconds since 1970."""
    restore_points: dict[str, dict[str, Any]] = field(default_factory=dict)
    restored: list[tuple[str, Any]] = field(default_factory=list)
    """Every restore that was begun: `pitr`, `backup` or `undo`, and to what."""
    unhealthy: dict[str, str] = field(default_factory=dict)
    lints: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"security": [], "performance": []})
    types: str = "export type Json = string\n"
    log_rows: list[dict[str, Any]] = field(default_factory=list)
    publishable_key: str = field(default_factory=lambda: f"sb_publishable_{secrets.token_hex(12)}")
    secret_key: str = field(default_factory=lambda: f"sb_secret_{secrets.token_hex(12)}")
    rest_status: int = 200
    auth_status: int = 200

    # --- the project -----------------------------------------------------------------------------------

    def project(self, _: Asked) -> Answered:
        return Answered(200, self.shown())

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.ref,
            "ref": self.ref,
            "organization_id": "acme",
            "organization_slug": "acme",
            "name": self.name,
            "region": "eu-west-1",
            "created_at": "2026-01-02T03:04:05.000Z",
            "status": "ACTIVE_HEALTHY",
            "database": {
                "host": f"db.{self.ref}.supabase.co",
                "version": "15.8.1.044",
                "postgres_engine": "15",
                "release_channel": "ga",
            },
        }

    def health(self, asked: Asked) -> Answered:
        wanted = [name for name in asked.query.get("services", "").split(",") if name]
        if not wanted or set(wanted) - set(SERVICES):
            raise ApiProblem(400, "services must be one of the following values: " + ", ".join(SERVICES))
        return Answered(200, [self._service(name) for name in wanted])

    def _service(self, name: str) -> dict[str, Any]:
        if name in self.unhealthy:
            return {"name": name, "healthy": False, "status": "UNHEALTHY", "error": self.unhealthy[name]}
        return {"name": name, "healthy": True, "status": "ACTIVE_HEALTHY"}

    def api_keys(self, asked: Asked) -> Answered:
        reveal = asked.query.get("reveal") == "true"
        keys = (("default", "publishable", self.publishable_key), ("default", "secret", self.secret_key))
        old = [
            {"name": name, "type": "legacy", "api_key": f"{name}-key-of-{self.ref}", "id": name}
            for name in ("anon", "service_role")
        ]
        new = [
            {"name": name, "type": kind, "api_key": key if reveal else key[:20], "id": kind} for name, kind, key in keys
        ]
        return Answered(200, [*old, *new])

    def pooler(self, _: Asked) -> Answered:
        host = "aws-0-eu-west-1.pooler.supabase.com"
        user = f"postgres.{self.ref}"
        url = f"postgresql://{user}:[YOUR-PASSWORD]@{host}:6543/postgres"
        found = {
            "identifier": self.ref,
            "database_type": "PRIMARY",
            "db_user": user,
            "db_host": host,
            "db_port": 6543,
            "db_name": "postgres",
            "connection_string": url,
            "connectionString": url,
            "default_pool_size": None,
            "max_client_conn": None,
            "pool_mode": "transaction",
            "is_using_scram_auth": True,
        }
        return Answered(200, [found])

    def types_typescript(self, _: Asked) -> Answered:
        return Answered(200, {"types": self.types})

    def advisors(self, asked: Asked) -> Answered:
        return Answered(200, {"lints": self.lints[asked.names["kind"]]})

    def logs(self, asked: Asked) -> Answered:
        if not asked.query.get("sql"):
            raise ApiProblem(400, "sql is required")
        return Answered(200, {"result": self.log_rows, "error": None})

    def branches(self, _: Asked) -> Answered:
        return Answered(200, [])

    # --- functions -------------------------------------------------------------------------------------

    def list_functions(self, _: Asked) -> Answered:
        return Answered(200, [found.said for found in self.functions.values()])

    def function(self, asked: Asked) -> Answered:
        return Answered(200, self._running(asked).said)

    def function_body(self, asked: Asked) -> Answered:
        found = self._running(asked)
        about = {"deno2_entrypoint_path": self.body_root + found.metadata.get("entrypoint_path", "")}
        parts = [_part('name="metadata"', {"Content-Type": "application/json"}, json.dumps(about).encode())]
        for path, content in (one for one in found.files if not one[0].endswith(self.lost)):
            parts.append(_part(f'name="file"; filename="{path}"', {"Supabase-Path": path}, content))
        body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
        return Answered(200, body, f"multipart/form-data; boundary={BOUNDARY}")

    def deploy(self, asked: Asked) -> Answered:
        slug = asked.query.get("slug", "")
        about = [part for part in asked.parts if part.name == "metadata"]
        files = [(part.filename or "", part.content) for part in asked.parts if part.name == "file"]
        if not _FUNCTION_NAME.fullmatch(slug) or len(about) != 1:
            raise ApiProblem(400, "slug and metadata are required")
        metadata = json.loads(about[0].content)
        if metadata.get("entrypoint_path") not in {path for path, _ in files}:
            raise ApiProblem(400, "Failed to bundle the function: entrypoint not found")
        made = self._bundle(slug, metadata, files)
        (self.bundles if asked.query.get("bundleOnly") == "true" else self.functions)[slug] = made
        return Answered(201, made.said)

    def put_functions(self, asked: Asked) -> Answered:
        if not isinstance(asked.json, list) or not all(isinstance(one, dict) for one in asked.json):
            raise ApiProblem(400, "an array of functions is expected")
        for one in asked.json:
            bundle = self.bundles.get(one.get("slug", ""))
            if bundle is None or bundle.said["ezbr_sha256"] != one.get("ezbr_sha256"):
                raise ApiProblem(400, f"Bundle of {one.get('slug')} not found")
        for one in asked.json:
            bundle = self.bundles.pop(one["slug"])
            self.functions[one["slug"]] = FakeFunction({**bundle.said, **one}, bundle.metadata, bundle.files)
        return Answered(200, {"functions": [found.said for found in self.functions.values()]})

    def delete_function(self, asked: Asked) -> Answered:
        self._running(asked)
        del self.functions[asked.names["slug"]]
        return Answered(200, None)

    def put_function(self, slug: str, text: str = "Deno.serve(() => new Response('ok'))\n", **metadata: Any) -> None:
        """A function that is there already, as somebody deployed it with the CLI."""
        path = f"supabase/functions/{slug}/index.ts"
        about = {"entrypoint_path": path, "static_patterns": [], "verify_jwt": True, "name": slug, **metadata}
        self.functions[slug] = self._bundle(slug, about, [(path, text.encode())])

    def _bundle(self, slug: str, metadata: dict[str, Any], files: list[tuple[str, bytes]]) -> FakeFunction:
        before = self.functions.get(slug)
        now = int(self.clock() * 1000)
        map_path = metadata.get("import_map_path") or ""
        whole = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
        for path, content in sorted(files):
            whole.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\0".encode())
        said = {
            "id": before.said["id"] if before else str(uuid.uuid4()),
            "slug": slug,
            "name": metadata.get("name", slug),
            "status": "ACTIVE",
            "version": before.said["version"] + 1 if before else 1,
            "created_at": before.said["created_at"] if before else now,
            "updated_at": now,
            "verify_jwt": metadata.get("verify_jwt", before.said["verify_jwt"] if before else True),
            "import_map": bool(map_path),
            "entrypoint_path": f"{self.body_root or 'file://./'}{metadata['entrypoint_path']}",
            "import_map_path": f"{self.body_root}{map_path}" if map_path else "",
            "ezbr_sha256": whole.hexdigest(),
        }
        return FakeFunction(said, metadata, files)

    def _running(self, asked: Asked) -> FakeFunction:
        found = self.functions.get(asked.names["slug"])
        if found is None:
            raise ApiProblem(404, "Function not found")
        return found

    # --- secrets ---------------------------------------------------------------------------------------

    def list_secrets(self, _: Asked) -> Answered:
        digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, (value, _) in self.secrets.items()}
        rows = ((name, self.secrets[name][1]) for name in sorted(digests))
        return Answered(200, [{"name": name, "value": digests[name], "updated_at": at} for name, at in rows])

    def set_secrets(self, asked: Asked) -> Answered:
        if not isinstance(asked.json, list) or len(asked.json) > MOST_SECRETS:
            raise ApiProblem(400, f"At most {MOST_SECRETS} secrets at once")
        for one in asked.json:
            if one["name"].startswith("SUPABASE_") or len(one["value"].encode()) > LONGEST_VALUE_BYTES:
                # As servers do that quote what they refuse: nobody who asks may repeat it.
                raise ApiProblem(400, f"Invalid secret: {one['name']}={one['value']}")
        for one in asked.json:
            self.secrets[one["name"]] = (one["value"], self._now())
        return Answered(201, None)

    def unset_secrets(self, asked: Asked) -> Answered:
        for name in asked.json or []:
            self.secrets.pop(name, None)
        return Answered(200, None)

    # --- backups ---------------------------------------------------------------------------------------

    def list_backups(self, _: Asked) -> Answered:
        names = ("earliest_physical_backup_date_unix", "latest_physical_backup_date_unix")
        return Answered(
            200,
            {
                "region": "eu-west-1",
                "walg_enabled": True,
                "pitr_enabled": self.pitr is not None,
                "backups": self.backups,
                "physical_backup_data": dict(zip(names, self.pitr or (), strict=False)),
            },
        )

    def restore_pitr(self, asked: Asked) -> Answered:
        if self.pitr is None:
            raise ApiProblem(402, "Point-in-time recovery is not part of this project's plan")
        moment = asked.json["recovery_time_target_unix"]
        if not self.pitr[0] <= moment <= self.pitr[1]:
            raise ApiProblem(400, "The moment is outside of what can be recovered")
        self.restored.append(("pitr", moment))
        return Answered(201, None)

    def restore_backup(self, asked: Asked) -> Answered:
        if asked.json["id"] not in {one.get("id") for one in self.backups}:
            raise ApiProblem(404, "Backup not found")
        self.restored.append(("backup", asked.json["id"]))
        return Answered(201, None)

    def create_restore_point(self, asked: Asked) -> Answered:
        if self.pitr is None:
            raise ApiProblem(402, "Restore points are not part of this project's plan")
        name = asked.json["name"]
        self.restore_points[name] = {"name": name, "status": "AVAILABLE", "completed_on": self._now()}
        return Answered(201, {**self.restore_points[name], "status": "PENDING", "completed_on": None})

    def restore_point(self, asked: Asked) -> Answered:
        found = self.restore_points.get(asked.query.get("name", ""))
        if found is None:
            raise ApiProblem(404, "Restore point not found")
        return Answered(200, found)

    def undo(self, asked: Asked) -> Answered:
        if asked.json["name"] not in self.restore_points:
            raise ApiProblem(404, "Restore point not found")
        self.restored.append(("undo", asked.json["name"]))
        return Answered(201, None)

    # --- the database ----------------------------------------------------------------------------------

    def login_role(self, asked: Asked) -> Answered:
        role, password = f"cli_login_{secrets.token_hex(6)}", secrets.token_hex(24)
        if self.database_url:
            group = "supabase_read_only_user" if asked.json["read_only"] else "postgres"
            until = datetime.fromtimestamp(self.clock() + self.login_ttl_seconds, UTC).isoformat()
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} VALID UNTIL {} IN ROLE {}").format(
                sql.Identifier(role), sql.Literal(password), sql.Literal(until), sql.Identifier(group)
            )
            with closing(psycopg.connect(self.database_url, autocommit=True)) as connection:
                connection.execute(made)
        self.logins[role] = password
        return Answered(201, {"role": role, "password": password, "ttl_seconds": self.login_ttl_seconds})

    def query(self, asked: Asked) -> Answered:
        with closing(psycopg.connect(self.database_url, autocommit=True)) as connection:
            cursor = connection.execute(asked.json["query"].encode())
            names = [one.name for one in cursor.description or ()]
            return Answered(201, [dict(zip(names, row, strict=True)) for row in cursor] if names else [])

    def _now(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _part(disposition: str, headers: Mapping[str, str], content: bytes) -> bytes:
    lines = [f"--{BOUNDARY}", f"Content-Disposition: form-data; {disposition}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content + b"\r\n"


CALLS: tuple[tuple[str, str, Callable[[FakeProject, Asked], Answered]], ...] = (
    ("GET", "", FakeProject.project),
    ("GET", "/health", FakeProject.health),
    ("GET", "/api-keys", FakeProject.api_keys),
    ("GET", "/config/database/pooler", FakeProject.pooler),
    ("GET", "/types/typescript", FakeProject.types_typescript),
    ("GET", "/advisors/(?P<kind>security|performance)", FakeProject.advisors),
    ("GET", "/analytics/endpoints/logs", FakeProject.logs),
    ("GET", "/branches", FakeProject.branches),
    ("GET", "/functions", FakeProject.list_functions),
    ("PUT", "/functions", FakeProject.put_functions),
    ("POST", "/functions/deploy", FakeProject.deploy),
    ("GET", "/functions/(?P<slug>[^/]+)", FakeProject.function),
    ("DELETE", "/functions/(?P<slug>[^/]+)", FakeProject.delete_function),
    ("GET", "/functions/(?P<slug>[^/]+)/body", FakeProject.function_body),
    ("GET", "/secrets", FakeProject.list_secrets),
    ("POST", "/secrets", FakeProject.set_secrets),
    ("DELETE", "/secrets", FakeProject.unset_secrets),
    ("GET", "/database/backups", FakeProject.list_backups),
    ("POST", "/database/backups/restore-pitr", FakeProject.restore_pitr),
    ("POST", "/database/backups/restore", FakeProject.restore_backup),
    ("POST", "/database/backups/restore-point", FakeProject.create_restore_point),
    ("GET", "/database/backups/restore-point", FakeProject.restore_point),
    ("POST", "/database/backups/undo", FakeProject.undo),
    ("POST", "/cli/login-role", FakeProject.login_role),
    ("POST", "/database/query", FakeProject.query),
)
"""Every call below /v1/projects/<ref>: method, path, and what it does."""
