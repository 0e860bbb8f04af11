"""Where the linter squawk is."""

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class SquawkTool:
    """The linter's program; without a path, the one that is installed beside Python or found on the search path."""

    path: Path | None = None
    timeout_seconds: float = _TIMEOUT_SECONDS

    def program(self) -> str | None:
        """Where the program is; None when there is none."""
        beside = Path(sysconfig.get_path("scripts")) / "squawk"
        candidate = self.path or beside
        return str(candidate) if candidate.is_file() else None if self.path else shutil.which("squawk")
