"""How soon the bot is ready, how much memory it holds, and that neither work nor reconnects make it grow.

    python -m bench.bot [--rounds N] [--tiny] [--folder DIR]

Readiness and idle memory stand beside a bare Bolt app's. The soak has no rival: it is the bot after a warm-up beside
itself after ten thousand commands and two hundred reconnects.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bots import Bot
from bench.bots import bare_bot
from bench.bots import our_bot
from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import Options
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from bench.measuring import rss_mb

SECONDS = 30.0
AT_ONCE = 50
SOCKETS = 2
RSS_GROWTH_MB = 8.0


@dataclass(frozen=True)
class Size:
    """How long a bot idles before its memory is read, new and after work, and how much a soak is."""

    idle_seconds: float
    quiet_seconds: float
    warm_up: int
    commands: int
    reconnects: int


@dataclass(frozen=True)
class Holding:
    """What a bot's process holds just now."""

    rss_mb: float
    threads: int
    descriptors: int
    tasks: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a figure is not met."""
    options = options_of("Readiness, idle memory, and a soak of the bot.", arguments)
    size = Size(0.1, 0.2, 20, 20, 2) if options.tiny else Size(5.0, 20.0, 1000, 10_000, 200)
    starters = {"ours": our_bot, "rival": bare_bot}
    found = alternate(options.rounds, {who: _starting(options, size, start) for who, start in starters.items()})
    before, after = soak(options, size)
    ready = {who: [seconds for seconds, _ in rounds] for who, rounds in found.items()}
    idle = {who: [megabytes for _, megabytes in rounds] for who, rounds in found.items()}
    figures: list[Figure | Bound] = [
        Bound("ready, from exec to bot_ready", ready["ours"], at_most=1.0),
        Figure("ready, beside bare Bolt", ready["ours"], ready["rival"]),
        Bound("idle resident memory", idle["ours"], "MB", at_most=120),
        Figure("idle resident memory, beside bare Bolt", idle["ours"], idle["rival"], "MB"),
        Bound("soak: memory grew by", [after.rss_mb - before.rss_mb], "MB", at_most=RSS_GROWTH_MB),
        Bound("soak: more threads", [float(after.threads - before.threads)], "threads", at_most=0),
        Bound("soak: more descriptors", [float(after.descriptors - before.descriptors)], "descriptors", at_most=0),
        Bound("soak: more tasks", [float(after.tasks - before.tasks)], "tasks", at_most=0),
    ]
    work = f"{size.commands} commands and {size.reconnects} reconnects after {size.warm_up} to warm up"
    notes = [f"soak: {work}; before {before}, after {after}"]
    return report("The bot's process: Countersign beside bare Bolt", figures, folder=options.folder, notes=notes)


def soak(options: Options, size: Size) -> tuple[Holding, Holding]:
    """What the bot holds after a warm-up, and after all the commands and reconnects."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        count_file = Path(folder) / "tasks"
        with our_bot(options, "-m", "bench.watched_bot", str(count_file)) as bot:
            _work(bot, size.warm_up, SOCKETS)
            before = _holding(bot, count_file, size.quiet_seconds)
            _work(bot, size.commands, size.reconnects)
            return before, _holding(bot, count_file, size.quiet_seconds)


def _starting(
    options: Options, size: Size, start: Callable[[Options], contextlib.AbstractContextManager[Bot]]
) -> Callable[[], tuple[float, float]]:
    def once() -> tuple[float, float]:
        with start(options) as bot:
            time.sleep(size.idle_seconds)
            return bot.ready_seconds, rss_mb(bot.process.pid)

    return once


def _work(bot: Bot, commands: int, reconnects: int) -> None:
    """Commands in bursts, each answered before the next, with the reconnects spread between them."""
    bursts = max(1, commands // AT_ONCE)
    moved = 0
    for burst in range(1, bursts + 1):
        acks = bot.say("/migrate help", min(AT_ONCE, commands), AT_ONCE)
        if missing := sum(ack.error is not None for ack in acks) + bot.settle():
            raise RuntimeError(f"{missing} commands were not acknowledged or not answered")
        while moved < reconnects * burst // bursts:
            _reconnect(bot)
            moved += SOCKETS


def _reconnect(bot: Bot) -> None:
    """Have Slack move both connections, and wait until they are back. Raises RuntimeError when they are not."""
    gone = list(bot.slack.sockets.live)
    bot.slack.disconnect("refresh_requested")
    _wait(lambda: len(bot.slack.sockets.live) == SOCKETS and not set(gone) & set(bot.slack.sockets.live))


def _holding(bot: Bot, count_file: Path, quiet_seconds: float) -> Holding:
    time.sleep(quiet_seconds)  # connections that are kept for the next call close after 15 seconds without one
    count_file.unlink(missing_ok=True)
    os.kill(bot.process.pid, signal.SIGUSR1)
    _wait(lambda: count_file.exists() and count_file.read_text() != "")
    here = Path(f"/proc/{bot.process.pid}")
    return Holding(
        rss_mb=rss_mb(bot.process.pid),
        threads=len(list((here / "task").iterdir())),
        descriptors=len(list((here / "fd").iterdir())),
        tasks=int(count_file.read_text()),
    )


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {SECONDS:.0f} s in vain")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
