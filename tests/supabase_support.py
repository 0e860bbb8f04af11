"""What tests of a whole Supabase project share: a Management API on this desk, and what is managed through it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_support import NO_BACKUP

from ops.settings import read_settings
from ops.supabase.client import ManagementApi
from ops.supabase.client import need_api
from ops.targets import Target
from ops.targets import find_target
from sandbox.supabase_api import SupabaseApi


@pytest.fixture
def supabase_api() -> Iterator[SupabaseApi]:
    with SupabaseApi() as api:
        yield api


def managed(api: SupabaseApi, prod: str = NO_BACKUP, **more: Any) -> dict[str, Any]:
    """Settings for a stage whose prod is the API's project: `make_stage(**managed(supabase_api))`. `prod`: its rules."""
    environment = {**api.environment, **more.pop("environment", {})}
    lines = f'project_ref = "{api.project.ref}"\nproject_url = "{api.url}"\n{prod}'
    return {"prod": lines, "environment": environment, **more}


def managed_target(api: SupabaseApi, prod: str = NO_BACKUP, folder: Path = Path("/")) -> Target:
    """The target shop/prod of a configuration that nothing else is made for; its database is nowhere."""
    text = (
        '[projects.shop]\nrepository = "repository"\n[projects.shop.environments.prod]\n'
        f'database_url = "$SHOP_PROD_DATABASE_URL"\nbranch = "main"\n{managed(api, prod)["prod"]}'
    )
    return find_target(read_settings(text.encode(), folder / "countersign.toml"), "prod")


def client_of(api: SupabaseApi, **bounds: float) -> ManagementApi:
    """The product's client for this API; `bounds` are `timeout_seconds` and `patience_seconds`."""
    return need_api(managed_target(api), environment=api.environment, **bounds)
