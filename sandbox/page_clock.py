"""The clock of the demo: real time and what people moved it forward by, shared by Slack, the page and the bot."""

import os
import threading
import time
from datetime import UTC
from datetime import datetime
from pathlib import Path

LONGEST_AHEAD_SECONDS = 10 * 365 * 86_400


class MovableClock:
    """Real time plus the seconds in a file, which every process that was given the file reads. It never goes back."""

    def __init__(self, path: Path) -> None:
        """The file is made where there is none."""
        self._path = path
        self._lock = threading.Lock()
        if not path.exists():
            path.write_text("0")

    def ahead_seconds(self) -> int:
        """How far this clock is before the real one."""
        return int(self._path.read_text())

    def seconds(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead_seconds()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def forward(self, seconds: int) -> datetime:
        """Move it; what time it is then. Raises ValueError for a step backwards or further than ten years in all."""
        with self._lock:
            ahead = self.ahead_seconds() + seconds
            if seconds < 1 or ahead > LONGEST_AHEAD_SECONDS:
                raise ValueError("The clock moves forward only, by a second at least and ten years in all at most.")
            fresh = self._path.with_suffix(".new")
            fresh.write_text(str(ahead))
            os.replace(fresh, self._path)  # a reader never meets half a number
        return self.now()
