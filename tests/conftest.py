"""Fixtures that every test may use: Postgres servers, and stages on one of them, with or without the bot."""

import shutil
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ready_clusters import begin_with_copies
from warm_terminal import WarmTerminal

from sandbox.example import build_repository
from sandbox.postgres import LocalPostgres
from sandbox.stage import Ran
from sandbox.stage import Stage

pytest_plugins = [
    *("fast_folder", "postgres_fixtures", "rehearsal_support", "run_support", "supabase_support", "undo_support"),
]


LONG_FIRST = tuple(
    f"test_{name}.py"
    for name in (
        *("rollback", "watch", "gallery", "running", "watch_bot", "undo_from_backup", "run_stops", "undo_half"),
        *("prior_copies", "watch_servers", "chaos", "crash", "rollback_asked", "interleavings", "simulate_agrees"),
    )
)
"""A file's tests share a stage, so one worker runs them all; what takes longest must not be what is left at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG_FIRST.index(item.path.name) if item.path.name in LONG_FIRST else len(LONG_FIRST))


@pytest.fixture(scope="session", autouse=True)
def _warm_terminals() -> Iterator[None]:
    """What stages type, and their bots, are forks of one loaded process: a thousand starts of Python are minutes."""
    warm, types_anew, launches_anew = WarmTerminal(), Stage.cli, Stage.launch_bot

    def cli(stage: Stage, *arguments: str, seconds: float = 120) -> Ran:
        ran = warm.run(arguments, stage.folder, stage.environment, seconds)
        return Ran(*ran) if ran is not None else types_anew(stage, *arguments, seconds=seconds)

    def launch_bot(stage: Stage, *arguments: str) -> None:
        words, log = ("bot", "--port", "0", *arguments), stage.bot_log
        forked = None
        if stage.clock is None:
            forked = warm.begin(*words, cwd=stage.folder, env=stage.environment, out=log, err=log)
        if forked is None:
            launches_anew(stage, *arguments)
        else:
            stage.bot = forked  # type: ignore[assignment]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "cli", cli)
        patch.setattr(Stage, "launch_bot", launch_bot)
        yield
    warm.close()


@pytest.fixture(scope="session", autouse=True)
def _ready_clusters() -> None:
    begin_with_copies()


@pytest.fixture(scope="session", autouse=True)
def _one_repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The shop's repository, whose commits have the same names every time, is built once and copied from then on."""
    built: list[Path] = []

    def copied(folder: Path) -> Path:
        built[:] = built or [build_repository(tmp_path_factory.mktemp("shop"))]
        return Path(shutil.copytree(built[0], folder, symlinks=True, dirs_exist_ok=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sandbox.stage.build_repository", copied)
        yield


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
