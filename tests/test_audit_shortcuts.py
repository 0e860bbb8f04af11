"""What makes an append quick leaves its promises alone: looks at the folder, one act without a savepoint, any thread."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from audit_support import commanded

from audit import Draft
from audit import Event
from audit import Log
from audit import LogUnavailable
from audit import Reader
from audit import View
from audit import verify
from audit import writer
from bot.intake import Act
from bot.lull import Lull
from ops.people import Actor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    Log.create(path)
    return path


@pytest.mark.parametrize("ending", ["", "-wal", ".lock"])
def test_file_that_is_moved_out_of_a_folder_that_was_at_rest_is_noticed(
    path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SETTLED_NANOSECONDS", 0)
    with Log.open(path) as log:
        log.append([commanded("one")])
        Path(f"{path}{ending}").rename(path.with_name("elsewhere"))
        with pytest.raises(LogUnavailable, match="moved or replaced"):
            log.append([commanded("two")])


def test_folder_that_is_replaced_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SETTLED_NANOSECONDS", 0)
    folder = tmp_path / "var"
    Log.create(folder / "audit.db")
    with Log.open(folder / "audit.db") as log:
        log.append([commanded("one")])
        folder.rename(tmp_path / "old")
        folder.mkdir()
        with pytest.raises(LogUnavailable, match="moved or replaced"):
            log.append([commanded("two")])


def test_other_files_in_the_folder_come_and_go(path: Path) -> None:
    with Log.open(path) as log:
        for number in range(5):
            (path.parent / f"other-{number}").write_text("x")
            assert log.append([commanded()])[0].seq == number + 1
            (path.parent / f"other-{number}").unlink()


@pytest.mark.parametrize("where", ["the main thread", "a thread of its own"])
def test_an_act_that_fails_alone_leaves_nothing_and_the_next_goes_on(path: Path, where: str) -> None:
    bad = Draft(kind="commanded", actor="os:host/ana", stream="bot", data={})

    def act(log: Log) -> list[Event]:
        for drafts in ([commanded("half"), bad], [bad]):
            with pytest.raises(Exception, match="does not fit"):
                log.append(drafts)
        return log.append([commanded("whole")])

    with Log.open(path) as log, ThreadPoolExecutor(1) as pool:
        [event] = act(log) if where == "the main thread" else pool.submit(act, log).result()
    assert (event.seq, [one.seq for one in Reader(path).since(0, 10)]) == (1, [1])
    assert verify(path).ok


def test_whoever_writes_cannot_wait_for_itself(path: Path) -> None:
    with Log.open(path) as log, ThreadPoolExecutor(1) as pool:

        def decide(view: View) -> Sequence[Draft]:
            log.append([commanded()])
            return []

        with pytest.raises(RuntimeError, match="wait for itself"):
            pool.submit(log.transact, decide).result(5)
        assert pool.submit(log.append, [commanded()]).result(5)[0].seq == 1


def test_what_is_handed_in_while_a_thread_writes_for_itself_comes_after_it(path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()
    with Log.open(path) as log, ThreadPoolExecutor(1) as pool:

        def slowly(view: View) -> Sequence[Draft]:
            begun.set()
            gate.wait(5)
            return [commanded("first")]

        first = pool.submit(log.transact, slowly)
        assert begun.wait(5)
        second = log.submit([commanded("second")])
        gate.set()
        assert [first.result(5)[0].seq, second.result(5)[0].seq] == [1, 2]


def test_a_log_is_closed_only_when_nobody_writes(path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()
    log = Log.open(path)
    with ThreadPoolExecutor(2) as pool:

        def slowly(view: View) -> Sequence[Draft]:
            begun.set()
            gate.wait(5)
            return [commanded()]

        writing = pool.submit(log.transact, slowly)
        assert begun.wait(5)
        closing = pool.submit(log.close)
        assert not closing.done()
        gate.set()
        assert writing.result(5)[0].seq == 1
        closing.result(5)
    assert verify(path).events == 1


def _act(number: int) -> Act:
    return Act(f"slack:{number}", Actor("slack:T0ACME/U0ANA"), "commanded")


def test_acts_are_held_while_more_come_in_and_then_handed_on_in_order() -> None:
    handed: list[str] = []

    async def burst() -> int:
        lull = Lull(lambda act: handed.append(act.id))
        for number in range(10):
            lull.take(_act(number))
            await asyncio.sleep(0)
        held = len(handed)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if handed:
                break
        return held

    assert asyncio.run(burst()) == 0
    assert handed == [f"slack:{number}" for number in range(10)]


def test_acts_that_are_held_when_the_bot_stops_are_handed_on_then() -> None:
    handed: list[str] = []

    async def stop() -> None:
        lull = Lull(lambda act: handed.append(act.id))
        lull.take(_act(1))
        lull.release()
        lull.release()

    asyncio.run(stop())
    assert handed == ["slack:1"]
