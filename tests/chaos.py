"""Kills, freezes or starves our own processes at exact points: just before or just after an event is durable in the log.

As a program it is a terminal that dies on demand: one JSON object per line on stdin, `{"argv": […], "blow": "before
commit_sent 2"}`, answered by two lines: `{"pid": 71}` at once, and `{"signal": 9, "code": 0, "out": "…"}` at its end. It
forks before any thread is there, so that a try costs no start of Python. `crash_at` does the same to any process that
calls it first, and `obey` to one that is told only while it runs.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from audit import Draft
from audit import View
from audit.writer import Act
from audit.writer import Done
from audit.writer import Writer


@dataclass
class Blow:
    """What happens to the process, and where: "after migration_applied 2" is the second of its life.

    `how`: "kill" (SIGKILL), "stop" (SIGSTOP), "full" (no file may be written from then on). `seconds`: so long after the
    point, from a thread beside it.
    """

    when: str
    kind: str
    number: int
    how: str = "kill"
    seconds: float = 0.0
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.number

    @classmethod
    def parse(cls, text: str) -> "Blow":
        """From "after commit_sent 2", and how and how late where that is not a kill at once: "after … 2 stop 0.05"."""
        when, kind, number, *rest = text.split()
        how, seconds = [*rest, "kill", "0"][:2] if len(rest) != 1 else (rest[0], "0")
        return cls(when, kind, int(number), how, float(seconds))

    def pass_by(self, when: str, kinds: Sequence[str]) -> None:
        """This boundary was reached: strike where it is the one."""
        if when != self.when or self.left <= 0:
            return
        self.left -= min(1, kinds.count(self.kind))  # an act for two streams has the event twice
        if self.left > 0:
            return
        if self.seconds:
            threading.Thread(target=self._later, daemon=True).start()
        else:
            _STRIKES[self.how]()

    def _later(self) -> None:
        time.sleep(self.seconds)
        _STRIKES[self.how]()


def _no_more_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def _stand_still() -> None:
    # To this very thread: sent to the process, it would reach another thread first, and this one would run on a little.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


_STRIKES: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": _stand_still,
    "full": _no_more_files,
}


def crash_at(point: str) -> None:
    """From now on this process dies, or whatever the text says, at that point; see `Blow`."""
    blow = Blow.parse(point)
    _watch_the_log(lambda: blow)


def obey(orders: Path) -> None:
    """From now on this process does what the file says, as `crash_at` would; a new order counts from when it is written."""
    seen: tuple[int, Blow | None] = (0, None)

    def ordered() -> Blow | None:
        nonlocal seen
        try:
            written = orders.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if written != seen[0]:
            text = orders.read_text()
            seen = (written, Blow.parse(text) if text else None)
        return seen[1]

    _watch_the_log(ordered)


def _watch_the_log(ordered: Callable[[], Blow | None]) -> None:
    run = Writer.run

    def watched_run(self: Writer, acts: Sequence[Act]) -> list[Done | BaseException]:
        blow = ordered()
        if blow is None:
            return run(self, acts)
        blow.pass_by("before", [draft.kind for act in acts for draft in act.drafts or ()])
        outcomes = run(self, [_watched(act, blow) for act in acts])
        done = [one for one in outcomes if isinstance(one, Done) and one.new]
        blow.pass_by("after", [event.kind for one in done for event in one.events])
        return outcomes

    Writer.run = watched_run  # type: ignore[method-assign]


def _watched(act: Act, blow: Blow) -> Act:
    """What an act is about to record that decides itself is known within its transaction only."""
    decide = act.decide
    if decide is None:
        return act

    def watched_decide(view: View) -> Sequence[Draft]:
        drafts = decide(view)
        blow.pass_by("before", [draft.kind for draft in drafts])
        return drafts

    return act._replace(decide=watched_decide)


def _serve() -> None:
    from countersign import main

    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                if asked.get("blow"):
                    crash_at(asked["blow"])
                code = main(asked["argv"])
                sys.stdout.flush()
                os._exit(code)
            _say({"pid": child})
            _, status = os.waitpid(child, 0)
            output.seek(0)
            died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
            _say({"signal": died, "code": code, "out": output.read().decode()})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
