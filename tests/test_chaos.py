"""The short form of `make chaos`: one round of random blows at the terminal, a few at the bot; each run has a seed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing

import pytest
from chaos_bot import BotLane
from chaos_lane import REQUEST
from chaos_lane import Case
from chaos_lane import Lane
from chaos_lane import Verdict
from chaos_lane import random_round
from chaos_oracle import problems
from chaos_oracle import read_log
from chaos_plans import dice

SEED = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
BLOWS = 8
BOT_CASES = 3


def _told(verdict: Verdict) -> str:
    return f"seed {SEED}: {verdict.case} -> {verdict.status}; " + "; ".join(verdict.wrong)


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    with Lane(SEED, plans=1) as made:
        yield made


def test_after_every_blow_log_and_target_agree(lane: Lane) -> None:
    """Blows of different kinds, at random points of random plans: nothing is lost, nothing ran twice, every end is
    explained. `make chaos` deals every kind."""
    rng = dice(SEED)
    print(f"CHAOS_SEED={SEED}")
    cases: dict[str, Case] = {case.blow: case for case in random_round(lane, rng)}
    verdicts = [lane.run(cases[blow], rng) for blow in rng.sample(sorted(cases), BLOWS)]
    assert [_told(one) for one in verdicts if one.wrong] == []
    assert sum(one.struck for one in verdicts) >= len(verdicts) // 2


def test_after_every_blow_to_the_bot_the_card_agrees_too() -> None:
    rng = dice(SEED)
    print(f"CHAOS_SEED={SEED}")
    with BotLane() as lane:
        verdicts = [lane.run(lane.random_case(rng), rng) for _ in range(BOT_CASES)]
    assert [_told(one) for one in verdicts if one.wrong] == []


SPOILS = {
    "a statement that ran twice": "update counters set times = times + 1",
    "a statement that is lost": "delete from ran where name = 'a1'",
    "a row that is lost": "delete from supabase_migrations.schema_migrations where version = '20260102000000'",
    "an index that is lost": "drop index i_b2",
}


def test_the_judge_sees_what_is_wrong(lane: Lane) -> None:
    assert lane.run(Case("mixed", "killed", "after migration_applied 3"), dice(SEED)).wrong == ()
    plan, told = lane.plans["mixed"], read_log(lane.stage.log_path, REQUEST)
    with closing(lane.connect(plan)) as connection:
        for what, spoil in SPOILS.items():
            connection.execute("begin")
            connection.execute(spoil.encode())
            assert problems(connection, plan, told), what
            connection.execute("rollback")
