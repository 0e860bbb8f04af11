"""What a configuration can say of health: checks of its own, tables that must be there, how often is looked."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated
from typing import Any
from typing import Self

from pydantic import AfterValidator
from pydantic import BeforeValidator
from pydantic import Field
from pydantic import JsonValue
from pydantic import model_validator

from ops.setting_values import HealthUrl
from ops.setting_values import SecretReference
from ops.setting_values import Table
from ops.setting_values import parse_duration

_NAME_BYTES = 63
"""So long is a name in Postgres at most."""

_SOONEST = timedelta(seconds=30)
_LATEST = timedelta(days=1)

_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def _table_name(text: str) -> str:
    schema, dot, name = text.partition(".")
    if not (schema and dot and name) or max(len(schema.encode()), len(name.encode())) > _NAME_BYTES:
        msg = 'a table is named with its schema, such as "public.orders"'
        raise ValueError(msg)
    return text


def _role_name(text: str) -> str:
    if not _ROLE.fullmatch(text) or len(text) > _NAME_BYTES or text.lower() == "none":
        msg = 'a role is one name, such as "authenticated"'
        raise ValueError(msg)
    return text


def _schema_name(text: str) -> str:
    if not text or len(text.encode()) > _NAME_BYTES:
        msg = 'a schema is one name, such as "public"'
        raise ValueError(msg)
    return text


def _health_every(value: object) -> timedelta:
    """`5m`, or `off`: never."""
    if value == "off":
        return timedelta()
    try:
        found = parse_duration(value)
    except ValueError:
        found = timedelta()
    if not _SOONEST <= found <= _LATEST:
        msg = 'health_every is between "30s" and "1d", or "off"'
        raise ValueError(msg)
    return found


TableName = Annotated[str, AfterValidator(_table_name)]
"""A table with its schema as Postgres has both, without quotes; the first dot parts them."""

RoleName = Annotated[str, AfterValidator(_role_name)]
SchemaName = Annotated[str, AfterValidator(_schema_name)]
HealthEvery = Annotated[timedelta, BeforeValidator(_health_every)]


class Health(Table):
    """One check that must hold before and after a run: a query that answers one true, a URL with a status, or a table
    that a row can be written into, as `role`; the row is rolled back."""

    name: str = Field(min_length=1, max_length=80)
    sql: str | None = None
    url: HealthUrl | None = None
    headers: Mapping[str, SecretReference] = Field(default_factory=dict)
    status: int = Field(default=200, strict=True, ge=100, le=599)
    timeout_seconds: float = Field(default=5, strict=True, gt=0, le=60)
    insert: TableName | None = None
    row: Mapping[str, JsonValue] = Field(default_factory=dict)
    role: RoleName | None = None
    claims: Mapping[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in (self.sql, self.url, self.insert) if way is not None]
        if len(ways) != 1:
            msg = "a health check has either sql or url or insert, and no two of them"
            raise ValueError(msg)
        if self.insert is None and (self.row or self.role or self.claims):
            msg = "row, role and claims belong to a check with insert"
            raise ValueError(msg)
        return self

    def policy(self) -> dict[str, Any]:
        """The check as people approve it: without its headers, which are secrets."""
        writes = {"insert", "row", "role", "claims"}
        return self.model_dump(mode="json", exclude={"headers", *(writes if self.insert is None else ())})
