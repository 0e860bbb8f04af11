"""What a terminal shows of a run that waits for a lock: who is in the way, on a terminal and in a log."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

from processes import read_until
from run_support import approve
from run_support import ask
from run_support import in_a_log
from run_support import session
from run_support import until_event

from sandbox.stage import Stage

Make = Callable[..., Stage]
RULES = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\nlock_patience = "60s"\n'


def held(stage: Stage, database: str) -> None:
    """A table that somebody's session may hold, and a migration that needs it."""
    stage.sql(database, "create table held (i int)")
    stage.migration("20260101000000_first.sql", "alter table held add column j int;")


@contextmanager
def on_a_terminal(stage: Stage, *words: str) -> Iterator[int]:
    """A command on a terminal of 80 columns; what it shows is read from here."""
    reading, writing = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "countersign", *words],
        cwd=stage.folder,
        env={**stage.environment, "COLUMNS": "80", "TERM": "xterm"},
        stdout=writing,
        stderr=writing,
        stdin=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        yield reading
    finally:
        process.kill()
        process.wait()
        os.close(reading)


IN_THE_WAY = r"wait\w+ for a lock[;:].{0,16} pid \d+ \(nightly-report"


def test_a_push_on_a_terminal_says_who_is_in_its_way(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    held(stage, "dev")
    with session(stage, "dev", "nightly-report") as somebody, somebody.transaction():
        somebody.execute("select * from held")
        with on_a_terminal(stage, "push", "dev") as terminal:
            read_until(terminal, IN_THE_WAY)


def test_who_waits_for_a_push_reads_who_is_in_its_way(make_stage: Make) -> None:
    """On a terminal while it lasts; in a log once, and once more what comes after it."""
    stage = make_stage(prod=RULES, empty=True)
    held(stage, "prod")
    stage.start_bot()
    ask(stage)
    with session(stage, "prod", "nightly-report") as somebody, in_a_log(stage, "push", "prod", "--wait") as process:
        with somebody.transaction(), on_a_terminal(stage, "push", "prod", "--wait", "60s") as terminal:
            somebody.execute("select * from held")
            read_until(terminal, "R-1 is waiting")
            approve(stage)
            read_until(terminal, IN_THE_WAY)
            until_event(stage, "lock_waited", 2)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert len(re.findall(IN_THE_WAY, log)) == 1, log
