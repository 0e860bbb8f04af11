"""The backups that the log knows of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit import View


def last_backup(view: View, project: str, environment: str) -> tuple[datetime, Mapping[str, Any]] | None:
    """When the newest proven backup of a target was proven, and its proof; None when the log knows of none."""
    event = view.last(kind="backup_proven", project=project, environment=environment)
    return (event.at, event.data["proof"]) if event is not None and event.data else None
