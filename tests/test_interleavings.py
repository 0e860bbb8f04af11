"""Thousands of interleavings of all that people, the clock, Slack, the branch, the target and death can do to a request; and
no run begins without a sufficient set of distinct, present, entitled people for exactly the bytes and the state that run.

Real acts on a real log. Beside them a bookkeeper writes down what was said of what, as anybody could who looked on, and
judges every run when its first statement would be sent; `approvals_oracle` says how many people of which kind that takes. It
also says what must run: what is never started would be safe, and useless. A failure names its seed and all steps.
"""

from collections import Counter
from itertools import count
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from approvals_broken import IN_TIME
from approvals_world import World
from approvals_world import a_world
from approvals_world import beside
from approvals_world import break_it
from bookkeeper import ANA
from bookkeeper import ASKERS
from interleaving_steps import Walk

SEED = 20261124
PARTS, INTERLEAVINGS = 4, 2500
"""So many tests, each of so many interleavings: what happens until somebody tries to have it run, on targets of their own."""
LIVES = 10
ON_ONE_LOG = 12


def walks(folder: Path, part: int, *, least: int = INTERLEAVINGS, most: int = 10) -> tuple[Counter[str], list[str]]:
    """Walks until there are so many interleavings, or so many went wrong: what was seen, and what was wrong, with all steps
    that led there."""
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    seeds = count(SEED + part * 1_000_000)
    while seen["run"] < least and len(wrong) < most:
        log = folder / f"{seen['run']}"
        log.mkdir()
        with a_world(log) as world:
            for seed in islice(seeds, ON_ONE_LOG):
                walk = a_walk(world, seed)
                seen += walk.seen
                wrong += [f"seed {seed}: {one}: {'; '.join(walk.steps)}" for one in walk.wrong]
                if len(wrong) >= most:
                    break
    return seen, wrong


def a_walk(world: World, seed: int) -> Walk:
    world.new_morning()
    walk = Walk(world, f"p{seed}", random=Random(seed))  # noqa: S311 (chance, no secret)
    if world.view.last_place(f"factor:{ANA}") == 0:
        for user in ASKERS:
            world.enrol(walk.ops, user)
    for _ in range(LIVES):
        walk.live()
        if walk.wrong:
            break
    walk.close()
    return walk


@pytest.mark.parametrize("part", range(PARTS))
def test_no_run_begins_without_enough_people_for_exactly_what_runs(tmp_path: Path, part: int) -> None:
    seen, wrong = beside(lambda: walks(tmp_path, part))
    print(f"seeds from {SEED + part * 1_000_000}: {dict(seen)}")
    assert wrong == []
    assert seen["run"] >= INTERLEAVINGS
    assert seen["began"] > INTERLEAVINGS / 10
    for name in ("carried", "by override", "died"):
        assert seen[name] > 5, name


@pytest.mark.parametrize("name", IN_TIME)
def test_a_broken_rule_is_seen(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch, IN_TIME[name])
    seen, wrong = beside(lambda: walks(tmp_path, 0, most=1))
    print(f"seen in {seen['run']} interleavings: {wrong}")
    assert wrong
