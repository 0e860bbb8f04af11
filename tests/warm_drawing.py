"""Pictures of timelines for the bots of stages, drawn by forks of a process that has matplotlib loaded.

Loading it takes half a second each time. That it is a program of its own, with no secret of ours in reach, is tested
without this (test_timeline).
"""

import importlib
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ready_clusters import CHOSEN

from commands import timeline

PROGRAM = "draw_timeline.py"


class WarmDrawing:
    """The process begins with this, and loads matplotlib when the first picture is wanted."""

    def __init__(self) -> None:
        # No TemporaryDirectory: the first fork that ends would remove it.
        self._folder = Path(tempfile.mkdtemp(prefix="countersign-drawing-", dir=os.environ.get(CHOSEN)))
        self._path = str(self._folder / "socket")
        ended, self._alive = os.pipe()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._path)
        listener.listen(16)
        if os.fork() == 0:
            os.close(self._alive)
            _serve(listener, ended, self._folder)
        os.close(ended)
        listener.close()

    def use(self) -> None:
        """Have this process, a fork, draw there; what else it starts is not touched."""
        os.close(self._alive)

        class Subprocess:
            SubprocessError = subprocess.SubprocessError

            @staticmethod
            def run(command: list[str], **settings: Any) -> "subprocess.CompletedProcess[bytes]":
                if Path(command[-1]).name != PROGRAM:
                    return subprocess.run(command, check=settings.pop("check"), **settings)
                return self._drawn(command, settings["input"], settings["timeout"])

        timeline.subprocess = Subprocess  # type: ignore[assignment,attr-defined]

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _drawn(self, command: list[str], asked: bytes, seconds: float) -> "subprocess.CompletedProcess[bytes]":
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(seconds)
            one.connect(self._path)
            one.sendall(asked)
            one.shutdown(socket.SHUT_WR)
            picture = _all_of(one)
        if not picture:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, picture, b"")


def _serve(listener: socket.socket, ended: int, folder: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.environ["MPLCONFIGDIR"] = str(folder)
    while listener.fileno() in select.select([listener.fileno(), ended], [], [])[0]:
        drawing = importlib.import_module("commands.draw_timeline")
        importlib.import_module("matplotlib.figure")
        importlib.import_module("matplotlib.backends.backend_agg")
        one, _ = listener.accept()
        if os.fork() == 0:
            try:
                picture = io.BytesIO()
                drawing.draw(json.loads(_all_of(one))).savefig(picture, format="png")
                one.sendall(picture.getvalue())
            finally:
                os._exit(0)
        one.close()
    os._exit(0)


def _all_of(one: socket.socket) -> bytes:
    parts = []
    while part := one.recv(65536):
        parts.append(part)
    return b"".join(parts)
