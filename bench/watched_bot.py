"""The real bot, which writes how many tasks its loop has into a file on SIGUSR1: `python -m bench.watched_bot FILE`.

It reconnects at once, however often, where the bot would wait longer and longer; so two hundred reconnects fit a test.
"""

import asyncio
import signal
import sys
from pathlib import Path

import countersign
from bot import sockets


def main(count_file: Path) -> int:
    """Be the bot until told to stop; its exit code."""

    def count_tasks(*_: object) -> None:
        count_file.write_text(str(len(asyncio.all_tasks())))

    signal.signal(signal.SIGUSR1, count_tasks)
    sockets.CALM_SECONDS = 0.0
    return countersign.main(["bot", "--port", "0"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
