"""How soon a slash command is acknowledged, its event on the disk included, beside a bare Bolt app that only acks.

    python -m bench.ack [--rounds N] [--tiny] [--folder DIR]

Both bots are processes of their own, each on a fake Slack of its own in this process, in Socket Mode. A latency is what
Slack sees: from handing the envelope over to the acknowledgement. Ours also does the work of each command and answers
it; the rival has none.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.bots import Bot
from bench.bots import bare_bot
from bench.bots import our_bot
from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import percentile
from bench.measuring import report
from sandbox.slack_delivery import Delivery

WORDS = "/migrate help"
SLOW_WORDS = "/migrate status"
SLOW_SECONDS = 2.0
AT_ONCE = 50


@dataclass(frozen=True)
class Size:
    """How many commands a round sends: one after another, bursts of 50, and the commands of the great burst."""

    one_by_one: int
    bursts: int
    great_burst: int


@dataclass(frozen=True)
class Round:
    """The latencies of one round, in seconds."""

    one_by_one: list[float]
    at_once: list[float]


@dataclass(frozen=True)
class Burst:
    """What became of the great burst: the slowest ack in seconds, and how many commands were lost on the way."""

    slowest: float
    not_acked: int
    not_in_the_log: int
    not_answered: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a figure is not met."""
    options = options_of("Acknowledging slash commands, beside bare Bolt.", arguments)
    size = Size(10, 1, 20) if options.tiny else Size(200, 10, 500)
    with our_bot(options) as ours, bare_bot(options) as rival:
        for bot in (ours, rival):
            _round(bot, Size(5, 1, 0))  # what is loaded on first use is loaded
        found = alternate(options.rounds, {"ours": lambda: _round(ours, size), "rival": lambda: _round(rival, size)})
        bursts = [great_burst(ours, size.great_burst) for _ in range(1 if options.tiny else 3)]
    lost = [float(burst.not_acked + burst.not_in_the_log + burst.not_answered) for burst in bursts]
    figures: list[Figure | Bound] = [
        _figure("ack, one after another, p50", found, 0.50, at_once=False, at_most=0.25),
        _figure("ack, one after another, p99", found, 0.99, at_once=False),
        _figure(f"ack, {AT_ONCE} at once, p50", found, 0.50, at_once=True),
        _figure(f"ack, {AT_ONCE} at once, p99", found, 0.99, at_once=True, at_most=1.0),
        Bound(f"burst of {size.great_burst}, slowest ack", [burst.slowest for burst in bursts], at_most=1.0),
        Bound(f"burst of {size.great_burst}, lost", lost, "commands", at_most=0),
    ]
    notes = [
        f"per round: {size.one_by_one} commands one after another, {size.bursts} bursts of {AT_ONCE}; "
        f"great burst: work of {SLOW_SECONDS:.0f} s each while acks are counted"
    ]
    return report(
        "Acknowledging a slash command: Countersign beside bare Bolt", figures, folder=options.folder, notes=notes
    )


def _round(bot: Bot, size: Size) -> Round:
    one_by_one = _latencies(bot.say(WORDS, size.one_by_one, 1))
    bot.settle()
    at_once: list[float] = []
    for _ in range(size.bursts):
        at_once += _latencies(bot.say(WORDS, AT_ONCE, AT_ONCE))
        bot.settle()
    return Round(one_by_one, at_once)


def great_burst(bot: Bot, number: int) -> Burst:
    """Send many commands in the same moment whose work takes seconds, and follow each to its answer.

    Slack is slow about people, which every command asks, until all are acked; then it is not, so that this ends soon.
    """
    bot.settle()
    before = bot.recorded()
    bot.slack.slow("users.info", SLOW_SECONDS)
    acks = bot.say(SLOW_WORDS, number, number)
    bot.slack.slow("users.info", 0)
    not_answered = bot.settle()
    return Burst(
        slowest=max(ack.latency_seconds for ack in acks),
        not_acked=sum(ack.error is not None for ack in acks),
        not_in_the_log=before + number - bot.recorded(),
        not_answered=not_answered,
    )


def _latencies(acks: Sequence[Delivery]) -> list[float]:
    """Raises RuntimeError when one was not acknowledged at all."""
    if errors := {ack.error for ack in acks if ack.error}:
        raise RuntimeError(f"not acknowledged: {', '.join(sorted(errors))}")
    return [ack.latency_seconds for ack in acks]


def _figure(
    name: str, found: dict[str, list[Round]], share: float, *, at_once: bool, at_most: float | None = None
) -> Figure:
    values = {
        who: [percentile(round_.at_once if at_once else round_.one_by_one, share) for round_ in rounds]
        for who, rounds in found.items()
    }
    return Figure(name, values["ours"], values["rival"], at_most=at_most)


if __name__ == "__main__":
    sys.exit(main())
