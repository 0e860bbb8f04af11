"""Fixtures that every test may use: Postgres servers, and stages on one of them, with or without the bot."""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

pytest_plugins = ["postgres_fixtures", "rehearsal_support", "run_support", "undo_support"]


@pytest.fixture
def make_stage(local_postgres: LocalPostgres) -> Iterator[Callable[..., Stage]]:
    """Make a stage with settings of its own: `make_stage(prod=…, empty=True)`; it ends with the test."""
    made: list[Stage] = []

    def make(**settings: Any) -> Stage:
        stage = Stage(**{"postgres": local_postgres, "rate_limits": False, **settings})
        made.append(stage)
        return stage.__enter__()

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """The demo's world, the bot running: prod lacks three migrations, Ben and Chi may approve."""
    made = make_stage()
    made.start_bot()
    return made
