"""Kills our own processes at exact points: just before or just after an event of some kind is durable in the log.

As a program it is a terminal that dies on demand: one JSON object per line on stdin, `{"argv": […], "crash": "before
commit_sent 2"}`, answered by one line, `{"signal": 9, "code": 0, "out": "…"}`. It forks before any thread is there, so
that a try costs no start of Python. `crash_at` does the same to any process that calls it first.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any
from typing import NoReturn

from audit.writer import Act
from audit.writer import Done
from audit.writer import Writer


def crash_at(point: str) -> None:
    """From now on this process dies (SIGKILL) at a point such as "after migration_applied 2": the second of its life."""
    when, kind, number = point.split()
    run = Writer.run
    left = int(number)

    def dying_run(self: Writer, acts: Sequence[Act]) -> list[Done | BaseException]:
        nonlocal left
        if when == "before":
            left -= _count(kind, [draft.kind for act in acts for draft in act.drafts or ()])
            if left <= 0:
                _die()
        outcomes = run(self, acts)
        if when == "after":
            done = [one for one in outcomes if isinstance(one, Done) and one.new]
            left -= _count(kind, [event.kind for one in done for event in one.events])
            if left <= 0:
                _die()
        return outcomes

    Writer.run = dying_run  # type: ignore[method-assign]


def _count(kind: str, kinds: Sequence[str]) -> int:
    return min(1, kinds.count(kind))  # an act for two streams has the event twice


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _serve() -> None:
    from countersign import main

    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                if asked.get("crash"):
                    crash_at(asked["crash"])
                code = main(asked["argv"])
                sys.stdout.flush()
                os._exit(code)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
            _say({"signal": died, "code": code, "out": output.read().decode()})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
