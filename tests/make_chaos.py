"""Chaos on show: hundreds of kills and cuts over runs of real processes, each judged by an oracle of its own.

    make chaos                      about ten minutes: two lanes of terminals and one of the bot
    CHAOS_SEED=… make chaos         the same blows again; every run prints its seed
    CHAOS_SECONDS=60 make chaos     a shorter one
    CHAOS_ONLY=2:17 CHAOS_SEED=…    case 17 of lane 2 alone

Exits with 1 when a case went wrong, and says what and how to see it again.
"""

import multiprocessing
import os
import queue
import secrets
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

from chaos_bot import BotLane
from chaos_lane import Lane
from chaos_lane import Verdict
from chaos_lane import schedule
from chaos_plans import dice

TERMINALS = 2
BOT = TERMINALS + 1
"""The number of the lane with the bot; those of the terminals come before it, from 1."""

SECONDS = 540.0
WANTED = 300
MORE_SECONDS = 420.0
"""So much longer it may take where the machine is too busy for so many."""
SILENT_SECONDS = 180.0


@dataclass(frozen=True)
class Judged:
    """One case of a lane; `verdict` None: the lane ended there, of `broken`."""

    lane: int
    number: int
    verdict: Verdict | None
    broken: str = ""


def main() -> int:
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    seconds = float(os.environ.get("CHAOS_SECONDS", SECONDS))
    only = os.environ.get("CHAOS_ONLY", "")
    print(f"chaos with seed {seed}, about {seconds:.0f} s", flush=True)
    judged = list(_all(seed, seconds, only))
    return _report(seed, judged, is_short=bool(only) or seconds < SECONDS)


def _all(seed: str, seconds: float, only: str) -> "list[Judged]":
    context = multiprocessing.get_context("spawn")
    told: Queue[Judged | None] = context.Queue()
    is_over = context.Event()
    wanted, _, number = only.partition(":")
    lanes = [int(wanted)] if only else range(1, BOT + 1)
    processes = [context.Process(target=_lane, args=(one, seed, is_over, number, told)) for one in lanes]
    for process in processes:
        process.start()
    judged: list[Judged] = []
    left = len(processes)
    began = heard = time.monotonic()
    while left:
        struck = sum(1 for one in judged if one.verdict is not None and one.verdict.struck)
        late = time.monotonic() - began - seconds
        if late > 0 and (struck >= WANTED or seconds < SECONDS or late > MORE_SECONDS):
            is_over.set()
        if time.monotonic() - heard > SILENT_SECONDS:
            judged.append(Judged(0, 0, None, "a lane says nothing any more"))
            break
        try:
            one = told.get(timeout=1)
        except queue.Empty:
            continue
        heard = time.monotonic()
        if one is None:
            left -= 1
            continue
        judged.append(one)
        _say(one)
    for process in processes:
        process.join(20)
        process.terminate()
    return judged


def _lane(lane: int, seed: str, is_over: Event, only: str, told: "Queue[Judged | None]") -> None:
    """One lane, until it is over; `only`: nothing but the case of this number."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server and no folder of a lane is left
    name = f"{seed}/{lane}"
    number = 0
    try:
        if lane == BOT:
            with BotLane() as bot:
                while not is_over.is_set() and not (only and number > int(only)):
                    rng = dice(f"{name}/{number}")
                    case = bot.random_case(rng)
                    if not only or number == int(only):
                        told.put(Judged(lane, number, bot.run(case, rng)))
                    number += 1
        else:
            with Lane(name) as terminals:
                for number, case in enumerate(schedule(terminals, lane - 1, TERMINALS, dice(name))):
                    if is_over.is_set() or (only and number > int(only)):
                        break
                    if not only or number == int(only):
                        told.put(Judged(lane, number, terminals.run(case, dice(f"{name}/{number}"))))
    except Exception:
        told.put(Judged(lane, number, None, traceback.format_exc()[-3000:]))
    finally:
        told.put(None)


def _say(one: Judged) -> None:
    place = f"{one.lane}:{one.number:<3}"
    if one.verdict is None:
        print(f"{place} BROKEN {one.broken}", flush=True)
        return
    verdict = one.verdict
    came = verdict.status if verdict.struck else f"{verdict.status} (not struck)"
    print(f"{place} {verdict.case} -> {came}, {verdict.seconds} s{' | ' * bool(verdict.why)}{verdict.why}", flush=True)
    for words in verdict.wrong:
        print(f"      WRONG: {words}", flush=True)


def _report(seed: str, judged: list[Judged], *, is_short: bool) -> int:
    verdicts = [one.verdict for one in judged if one.verdict is not None]
    struck = [one for one in verdicts if one.struck]
    by_blow: dict[str, Counter[str]] = {}
    for verdict in struck:
        by_blow.setdefault(verdict.case.blow, Counter())[verdict.status] += 1
    print(f"\n{'blow':<28}{'struck':>7}  how it ended")
    for blow, statuses in sorted(by_blow.items()):
        ends = ", ".join(f"{status.replace('_', ' ')} {count}" for status, count in statuses.most_common())
        print(f"{blow:<28}{statuses.total():>7}  {ends}")
    wrong = [one for one in judged if one.verdict is None or one.verdict.wrong]
    print(f"\n{len(struck)} of {len(verdicts)} cases were struck, {len(wrong)} went wrong; seed {seed}")
    for one in wrong:
        print(f"see it again: CHAOS_SEED={seed} CHAOS_ONLY={one.lane}:{one.number} make chaos")
    few = len(struck) < WANTED and not is_short
    if few:
        print(f"that is fewer than the {WANTED} that it is meant to be")
    return int(bool(wrong) or few)


if __name__ == "__main__":
    sys.exit(main())
