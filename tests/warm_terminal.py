"""Terminal commands and bots forked from a process that has everything loaded: real processes, without Python's start each.

As a program it is that process. On stdin, one JSON object per line: `{"argv": […], "cwd": …, "env": {…}, "out": path,
"err": path}`; on stdout `{"began": 71}` for each in turn, and `{"ended": 71, "code": 0}` when it did (negative: the signal
that ended it, as in subprocess). Each is the leader of a session of its own.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ready_clusters import CHOSEN
from ready_clusters import begin_with_copies
from warm_drawing import WarmDrawing

ROOT = Path(__file__).resolve().parent.parent
NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
"""What countersign.py sets before it loads anything."""


class Forked:
    """One of its processes, as much of a subprocess.Popen as tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired("countersign", timeout or 0)
        return self.returncode


class WarmTerminal:
    """Starts that process when it is first wanted."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()
        self._began: queue.Queue[Forked] = queue.Queue()

    def begin(self, *arguments: str, cwd: Path, env: dict[str, str], out: Path, err: Path) -> Forked | None:
        """A process at work on this command line; None where it has to be a new one, since it loads something else."""
        if env.get("PYTHONPATH") != str(ROOT):
            return None
        asked = {"argv": arguments, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
        with self._asking:
            process = self._process = self._process or self._start()
            assert process.stdin is not None
            print(json.dumps(asked), file=process.stdin, flush=True)
            return self._began.get(timeout=60)

    def run(
        self, arguments: tuple[str, ...], cwd: Path, env: dict[str, str], seconds: float
    ) -> tuple[int, str, str] | None:
        """The code and the two outputs; None as above. Raises TimeoutExpired."""
        with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            forked = self.begin(*arguments, cwd=cwd, env=env, out=out, err=err)
            if forked is None:
                return None
            try:
                return forked.wait(seconds), out.read_text(), err.read_text()
            except subprocess.TimeoutExpired:
                os.kill(forked.pid, signal.SIGKILL)
                raise

    def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(timeout=20)

    def _start(self) -> "subprocess.Popen[str]":
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONPATH": str(ROOT), NO_PLUGINS: "__all__"}
        environment |= {CHOSEN: os.environ[CHOSEN]} if CHOSEN in os.environ else {}
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._hear, args=(process,), daemon=True).start()
        return process

    def _hear(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        at_work: dict[int, Forked] = {}
        for line in process.stdout:
            said = json.loads(line)
            if "began" in said:
                forked = at_work[said["began"]] = Forked(said["began"])
                self._began.put(forked)
            else:
                at_work.pop(said["ended"]).end(said["code"])


def _load() -> Callable[[], int]:
    for package in ("audit", "ops", "commands", "bot"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    main: Callable[[], int] = importlib.import_module("countersign").main
    begin_with_copies()
    gc.freeze()
    return main


def _serve() -> None:
    main = _load()
    drawing = WarmDrawing()
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    os.set_blocking(ended, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    waiting = b""
    at_work: set[int] = set()
    while True:
        ready, _, _ = select.select([0, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _tell_of_ended(at_work)
        if 0 not in ready:
            continue
        if not (read := os.read(0, 65536)):
            for child in at_work:  # the tests were killed
                os.kill(child, signal.SIGKILL)
            drawing.close()
            return
        *lines, waiting = (waiting + read).split(b"\n")
        for line in lines:
            if (child := os.fork()) == 0:
                os.close(ended)
                os.close(wakes)
                _become(json.loads(line))
                drawing.use()
                _end(main)
            at_work.add(child)
            _answer({"began": child})


def _tell_of_ended(at_work: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        at_work.remove(pid)
        _answer({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _become(asked: dict[str, Any]) -> None:
    """This process is the terminal, or the bot, from here on."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.argv = ["countersign", *asked["argv"]]


def _end(main: Callable[[], int]) -> None:
    """As an interpreter ends, without taking down what was loaded: that would copy every page of it."""
    code = 1
    try:
        try:
            code = main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        except BaseException:
            traceback.print_exc()
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _answer(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    _serve()
