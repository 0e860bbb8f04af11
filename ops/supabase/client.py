"""The Management API of Supabase, as typed calls on one project. What each call means for a run is decided elsewhere."""

import json
import os
import re
import threading
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import UTC
from datetime import datetime
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import Self
from typing import TypeVar
from urllib.parse import quote
from urllib.parse import urlsplit

from pydantic import TypeAdapter
from pydantic import ValidationError

from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import resolve_secret
from ops.supabase import models
from ops.supabase.api_error import ApiError
from ops.supabase.budget import Budget
from ops.supabase.multipart import parse_parts
from ops.supabase.slug import SLUG
from ops.targets import Target

if TYPE_CHECKING:  # httpx is slow to load, and few words speak to the API
    from ops.supabase.transport import Answer
    from ops.supabase.transport import Call
    from ops.supabase.transport import Transport

DEFAULT_API = "https://api.supabase.com"
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_PATIENCE_SECONDS = 20.0
MOST_SECRETS = 100
LONGEST_SECRET_NAME = 256
LONGEST_SECRET_BYTES = 24_576
LONGEST_POINT_NAME = 20
SERVICES = ("auth", "db", "pooler", "realtime", "rest", "storage")

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_BUDGET = Budget()

T = TypeVar("T")


def unmanaged_because(target: Target, environment: Mapping[str, str] = os.environ) -> str:
    """Why nothing but the database of this target is looked after, in half a sentence; empty where all of it is."""
    if target.settings.project_ref is None:
        return "its project_ref is not set"
    reference = target.access_token
    try:
        resolve_secret(reference, folder=target.all_settings.folder, environment=environment)
    except OpsError:
        return f"{reference.removeprefix('$')} is not set" if reference.startswith("$") else f"{reference} is not there"
    return ""


def _what_to_set(target: Target) -> str:
    if target.settings.project_ref is None:
        where = f"[projects.{target.project}.environments.{target.environment}]"
        return f'Name its Supabase project in the configuration: project_ref = "…" under {where}; see docs/supabase.md.'
    return "Set it for the process that runs Countersign (the bot's, when the bot is up); docs/supabase.md tells more."


def api_for(
    target: Target,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    environment: Mapping[str, str] = os.environ,
) -> "ManagementApi | None":
    """As `need_api`; None where no project or no token is configured (`unmanaged_because` says which)."""
    if unmanaged_because(target, environment):
        return None
    return need_api(target, timeout_seconds=timeout_seconds, patience_seconds=patience_seconds, environment=environment)


def need_api(
    target: Target,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    environment: Mapping[str, str] = os.environ,
) -> "ManagementApi":
    """The API of this target's project. Asks for nothing yet; to be used in `with`.

    `timeout_seconds` bounds one try of a call, `patience_seconds` all waiting for rate limits. Raises
    OpsError(BAD_CONFIG) where no project or token is configured, or one that cannot be used.
    """
    because = unmanaged_because(target, environment)
    if because:
        raise OpsError(
            Reason.BAD_CONFIG,
            f"Nothing but the database of {target.name} can be reached: {because}.",
            _what_to_set(target),
        )
    from ops.supabase.transport import Transport

    token = resolve_secret(target.access_token, folder=target.all_settings.folder, environment=environment)
    if not re.fullmatch(r"[\x21-\x7e]{8,500}", token):
        raise OpsError(
            Reason.BAD_CONFIG,
            f"The access token of {target.name} is no token: it has spaces, or letters that none has.",
            "It looks like sbp_ and 40 hexadecimal digits, alone on one line.",
        )
    base = _api_base(environment.get("SUPABASE_API_URL", "").strip() or DEFAULT_API)
    ref = target.settings.project_ref or ""
    transport = Transport(
        base, ref, token, timeout_seconds=timeout_seconds, patience_seconds=patience_seconds, budget=_BUDGET
    )
    return ManagementApi(ref, transport)


def _api_base(url: str) -> str:
    """The API's address without a slash at its end: https, or http on this machine alone."""
    try:
        parts = urlsplit(url)
        local = parts.hostname in _LOOPBACK
    except ValueError:
        parts, local = urlsplit(""), False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if not parts.netloc or not plain or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise OpsError(
            Reason.BAD_CONFIG,
            "SUPABASE_API_URL is no address that a token may be sent to.",
            "It is https://…, without a user, a query or a fragment; http:// only on this machine.",
        )
    return url.rstrip("/")


class ManagementApi:
    """One project's part of the Management API. Every method raises ApiError; a write's may say `outcome_unknown`."""

    def __init__(self, ref: str, transport: "Transport") -> None:
        self.ref = ref
        self._transport = transport
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"ManagementApi({self.ref})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    # --- the project -----------------------------------------------------------------------------------

    def project(self) -> models.Project:
        return self._get("", models.Project, "projects_read")

    def health(self, services: Sequence[str] = SERVICES) -> tuple[models.ServiceHealth, ...]:
        query = {"services": ",".join(services)}
        return self._get("/health", tuple[models.ServiceHealth, ...], "projects_read", query)

    def api_keys(self, *, reveal: bool = True) -> tuple[models.ApiKey, ...]:
        permission = f"api_gateway_keys_read{' + api_gateway_keys_secret_read' if reveal else ''}"
        query = {"reveal": "true" if reveal else "false"}
        return self._get("/api-keys", tuple[models.ApiKey, ...], permission, query)

    def types_typescript(self, schemas: Sequence[str] = ("public",)) -> str:
        query = {"included_schemas": ",".join(schemas)}
        return self._get("/types/typescript", models.Types, "database_read", query).types

    def advisors(self, kind: Literal["security", "performance"]) -> tuple[models.Lint, ...]:
        return self._get(f"/advisors/{kind}", models.Lints, "advisors_read").lints

    def logs(self, sql: str, start: datetime, end: datetime) -> tuple[Mapping[str, Any], ...]:
        """Rows of the logs between two moments, at most 24 hours apart. `sql` is ClickHouse's, over the table `logs`."""
        query = {"sql": sql, "iso_timestamp_start": _iso(start), "iso_timestamp_end": _iso(end)}
        found = self._get("/analytics/endpoints/logs", models.LogRows, "analytics_logs_read", query)
        if found.error:
            raise ApiError(
                Reason.API_FAILED, "Supabase could not search its logs.", "Try a shorter time.", exit_code=1, status=200
            )
        return found.result

    # --- functions -------------------------------------------------------------------------------------

    def functions(self) -> tuple[models.Function, ...]:
        return self._get("/functions", tuple[models.Function, ...], "edge_functions_read")

    def function(self, slug: str) -> models.Function | None:
        """The function as it runs; None where there is none of this name."""
        call = self._call("GET", f"/functions/{_slug(slug)}", "edge_functions_read", "/functions/{slug}")
        return self._maybe(call, models.Function)

    def function_body(self, slug: str) -> models.FunctionBody | None:
        """The sources and metadata of what runs; None where there is no such function."""
        from ops.supabase.transport import LARGEST_BODY_BYTES

        call = self._call(
            *("GET", f"/functions/{_slug(slug)}/body", "edge_functions_read", "/functions/{slug}/body"),
            accept="multipart/form-data",
            largest_bytes=LARGEST_BODY_BYTES,
        )
        answer = self._ask(call, missing_is_an_answer=True)
        if answer.status == 404:
            return None
        try:
            parts = parse_parts(answer.content_type, answer.body)
            about = [json.loads(part.content) for part in parts if part.name == "metadata"]
            files = [part for part in parts if part.name != "metadata"]
            if len(about) != 1 or not isinstance(about[0], dict) or not all(_path(part) for part in files):
                raise ValueError("its parts are not as expected")
        except (ValueError, RecursionError) as error:
            said = str(error) if type(error) is ValueError else "its metadata cannot be read"
            raise self._transport.wrong(call, f"the body is not a function's: {said}", answer.status) from None
        return models.FunctionBody(about[0], tuple(models.FunctionFile(_path(part), part.content) for part in files))

    def deploy_function(
        self,
        slug: str,
        metadata: models.FunctionMetadata,
        files: Iterable[models.FunctionFile],
        *,
        bundle_only: bool = False,
    ) -> models.Function:
        """Upload and start a function, as the CLI does. `bundle_only`: it is built and not started; see `put_functions`."""
        sent = [("file", (one.path, one.content, "application/octet-stream")) for one in files]
        about = json.dumps(metadata.to_json(), separators=(",", ":"), ensure_ascii=False).encode()
        query = {"slug": _slug(slug), **({"bundleOnly": "true"} if bundle_only else {})}
        call = self._call(
            *("POST", "/functions/deploy", "edge_functions_write"),
            query=query,
            parts=[*sent, ("metadata", (None, about))],
        )
        return self._read(call, self._ask(call), models.Function)

    def put_functions(self, bundled: Sequence[models.Function]) -> tuple[models.Function, ...]:
        """Start several bundles at once: what `deploy_function(…, bundle_only=True)` answered for each."""
        keys = (
            *("id", "slug", "name", "status", "version", "created_at", "verify_jwt", "import_map"),
            *("entrypoint_path", "import_map_path", "ezbr_sha256"),
        )
        body = [{key: getattr(one, key) for key in keys if getattr(one, key) is not None} for one in bundled]
        call = self._call("PUT", "/functions", "edge_functions_write", json=body)
        return self._read(call, self._ask(call), models.Functions).functions

    def delete_function(self, slug: str) -> bool:
        """Whether there was one to delete."""
        call = self._call("DELETE", f"/functions/{_slug(slug)}", "edge_functions_write", "/functions/{slug}")
        return self._ask(call, missing_is_an_answer=True).status != 404

    # --- secrets ---------------------------------------------------------------------------------------

    def secrets(self) -> tuple[models.Secret, ...]:
        return self._get("/secrets", tuple[models.Secret, ...], "edge_functions_secrets_read")

    def set_secrets(self, values: Sequence[tuple[str, str]]) -> None:
        """Set some secrets in one request. Raises OpsError(BAD_USAGE), before anything is sent, for what is not taken."""
        if not 0 < len(values) <= MOST_SECRETS:
            raise OpsError(Reason.BAD_USAGE, f"At most {MOST_SECRETS} secrets are set at once.", "Set fewer.")
        for name, value in values:
            _check_secret(name, value)
        body = [{"name": name, "value": value} for name, value in values]
        self._ask(self._call("POST", "/secrets", "edge_functions_secrets_write", json=body, quiet=True))

    def unset_secrets(self, names: Sequence[str]) -> None:
        self._ask(self._call("DELETE", "/secrets", "edge_functions_secrets_write", json=list(names)))

    # --- backups ---------------------------------------------------------------------------------------

    def backups(self) -> models.ManagedBackups:
        return self._get("/database/backups", models.ManagedBackups, "backups_read")

    def restore_pitr(self, unix_seconds: int) -> None:
        """Begin to put the whole database back to a moment. It goes on after the answer, and ends every session."""
        body = {"recovery_time_target_unix": unix_seconds}
        self._ask(self._call("POST", "/database/backups/restore-pitr", "backups_write", json=body))

    def restore_backup(self, backup_id: int) -> None:
        """Begin to put the whole database back to a backup. It goes on after the answer, and ends every session."""
        self._ask(self._call("POST", "/database/backups/restore", "backups_write", json={"id": backup_id}))

    def create_restore_point(self, name: str) -> models.RestorePoint:
        """Name this moment, in at most 20 characters. It can be gone back to once it is AVAILABLE."""
        call = self._call("POST", "/database/backups/restore-point", "backups_write", json={"name": _point(name)})
        return self._read(call, self._ask(call), models.RestorePoint)

    def restore_point(self, name: str) -> models.RestorePoint | None:
        """A restore point by its name; None where there is none."""
        path = "/database/backups/restore-point"
        return self._maybe(self._call("GET", path, "backups_read", query={"name": _point(name)}), models.RestorePoint)

    def undo(self, name: str) -> None:
        """Begin to put the whole database back to a restore point."""
        self._ask(self._call("POST", "/database/backups/undo", "backups_write", json={"name": _point(name)}))

    # --- the way to the database -----------------------------------------------------------------------

    def login_role(self, *, read_only: bool = False) -> models.LoginRole:
        """A new temporary login of the database. One more than needed does no harm, so it may be asked for again."""
        call = self._call("POST", "/cli/login-role", "database_write", json={"read_only": read_only}, reads=True)
        return self._read(call, self._ask(call), models.LoginRole)

    # --- asking ----------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, permission: str, endpoint: str = "", **more: Any) -> "Call":
        from ops.supabase.transport import Call

        return Call(method, path, endpoint or path or "/", permission, **{"reads": method == "GET", **more})

    def _get(self, path: str, shape: type[T], permission: str, query: Mapping[str, str] | None = None) -> T:
        call = self._call("GET", path, permission, query=query)
        return self._read(call, self._ask(call), shape)

    def _maybe(self, call: "Call", shape: type[T]) -> T | None:
        answer = self._ask(call, missing_is_an_answer=True)
        return None if answer.status == 404 else self._read(call, answer, shape)

    def _ask(self, call: "Call", *, missing_is_an_answer: bool = False) -> "Answer":
        with self._lock:  # a second thread waits rather than mixing two answers
            return self._transport.ask(call, missing_is_an_answer=missing_is_an_answer)

    def _read(self, call: "Call", answer: "Answer", shape: type[T]) -> T:
        """The answer in its shape. Never quoted where it is not: it may hold what nobody may see."""
        try:
            return TypeAdapter(shape).validate_json(answer.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            if first["type"] == "json_invalid":
                raise self._transport.wrong(call, "it is not whole, or not JSON", answer.status) from None
            place = ".".join(str(part) for part in first["loc"])[:80] or "all of it"
            raise self._transport.wrong(call, f"its shape is another one at {place}", answer.status) from None


def _slug(slug: str) -> str:
    if not SLUG.fullmatch(slug):
        raise OpsError(Reason.BAD_USAGE, f"{slug[:100]!r} is no function's name.", "Letters, digits, _ and - only.")
    return quote(slug, safe="")


def _path(part: Any) -> str:
    """Where a downloaded file belongs: what the API says beside its name, or the name."""
    return str(part.headers.get("supabase-path") or part.filename or "")


def _point(name: str) -> str:
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST_POINT_NAME}}}", name):
        raise OpsError(Reason.BAD_USAGE, f"{name[:50]!r} is no restore point's name.", "At most 20 letters and digits.")
    return name


def _check_secret(name: str, value: str) -> None:
    if not 0 < len(name) <= LONGEST_SECRET_NAME or name.startswith("SUPABASE_") or not name.isprintable():
        raise OpsError(
            Reason.BAD_USAGE,
            f"{name[:60]!r} is no name for a secret: at most {LONGEST_SECRET_NAME} characters, not beginning with SUPABASE_.",
            "Supabase keeps the names that begin so for itself.",
        )
    if not value or len(value.encode()) > LONGEST_SECRET_BYTES:
        raise OpsError(
            Reason.BAD_USAGE,
            f"The value of {name} is empty, or longer than {LONGEST_SECRET_BYTES} bytes.",
            "Set one that Supabase takes.",
        )


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
