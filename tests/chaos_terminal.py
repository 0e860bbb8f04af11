"""A terminal for tests that dies, freezes or starves on demand; see chaos.py."""

import json
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit import Log
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage


class Terminal:
    """Types commands in processes forked from one that has everything loaded."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        program = [sys.executable, str(Path(__file__).with_name("chaos.py"))]
        self._errors = (stage.folder / "terminal.log").open("ab")
        self._process = subprocess.Popen(
            program,
            cwd=stage.folder,
            env=stage.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __call__(self, *words: str, crash: str = "") -> dict[str, Any]:
        """Type it and wait; where the process was to die, it must have."""
        self.begin(*words, blow=crash)
        answer = self.end()
        assert answer["signal"] == (9 if crash else 0), f"{crash!r} did not come: {answer}"
        return answer

    def begin(self, *words: str, blow: str = "") -> int:
        """Type it; the number of the process that does it. `end` is to be called before anything else."""
        assert self._process.stdin is not None
        print(json.dumps({"argv": words, "blow": blow}), file=self._process.stdin, flush=True)
        return int(self._answer()["pid"])

    def end(self) -> dict[str, Any]:
        """Wait until it ended: `signal` (0: none), `code`, and `out`, which is what it said on stdout."""
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:  # it waits for one that is frozen for good; all of it was judged before
            self._process.kill()
            self._process.wait(timeout=20)
        self._errors.close()


@contextmanager
def desk_with(files: Mapping[str, str], postgres: LocalPostgres) -> Iterator[tuple[Stage, Terminal]]:
    """One stage that holds these files, and its terminal, for many points at which to die."""
    with Stage(empty=True, rate_limits=False, postgres=postgres) as stage:
        stage.commit(files, "Add them")
        with closing(Terminal(stage)) as terminal:
            yield stage, terminal


def emptied(stage: Stage, *tables: str) -> None:
    """Dev without history and without these tables, and an empty log."""
    gone = f"drop table if exists {', '.join(tables)}"
    stage.sql("dev", f"drop schema if exists supabase_migrations cascade; {gone}")
    for path in stage.log_path.parent.glob("audit.db*"):
        path.unlink()
    Log.create(stage.log_path)
