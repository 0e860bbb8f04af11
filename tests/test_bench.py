"""The benchmarks run and say their ratios. Their tiny modes show that they work; what they measured then means nothing."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import ack
from bench import audit
from bench import audit_append
from bench import bot
from bench import readers
from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import filesystem_of
from bench.measuring import percentile
from bench.measuring import report
from bench.measuring import shown


@pytest.mark.parametrize(
    ("main", "lines"),
    [
        pytest.param(
            ack.main,
            [
                "ack, one after another, p50: ratio ",
                "ack, 50 at once, p99: ratio ",
                "burst of 20, slowest ack: ",
                "burst of 20, lost: 0 commands",
            ],
            id="acknowledgements",
        ),
        pytest.param(
            audit_append.main,
            ["appends, one writer: ratio ", "appends, 64 writers at once: ratio ", "of one: 0 events"],
            id="appends",
        ),
        pytest.param(
            audit.main,
            ["verifying", "a quarter's population", "ratio "],
            id="the log of decades",
        ),
        pytest.param(
            bot.main,
            ["ready, from exec to bot_ready: ", "idle resident memory: ", "soak: memory grew by: "],
            id="the bot's process",
        ),
    ],
)
def test_benchmark_runs_and_prints_its_figures(
    main: Callable[[Sequence[str]], int],
    lines: Sequence[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--tiny", "--folder", str(tmp_path)]) in {0, 1}
    printed = capsys.readouterr().out
    assert [line for line in lines if line not in printed] == []
    assert list(tmp_path.iterdir()) == []


def test_readers_behind_a_blocker_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert readers.main(["--tiny"]) in {0, 1}
    printed = capsys.readouterr().out
    lines = ("slowest reader, ours: ", "slowest reader, nobody migrates: ", "slowest reader, beside plain psql: ratio ")
    assert [line for line in lines if line not in printed] == []


def test_rounds_alternate() -> None:
    order: list[str] = []
    found = alternate(3, {"ours": lambda: order.append("ours"), "rival": lambda: order.append("rival")})
    assert order == ["ours", "rival", "rival", "ours", "ours", "rival"]
    assert {who: len(rounds) for who, rounds in found.items()} == {"ours": 3, "rival": 3}


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([3.0], 0.99) == 3.0


def test_ratio_is_the_median_of_the_rounds_and_not_of_the_sums() -> None:
    """One slow round of the rival does not make ours look good."""
    figure = Figure("push", ours=[1.0, 1.0, 3.0], rival=[2.0, 2.0, 100.0], at_most=0.4)
    assert not figure.met
    assert figure.line() == "push: ratio 0.50 [0.03–0.50], at most 0.4: NOT MET (ours 1 s, rival 2 s)"


def test_bounds_hold_at_both_ends() -> None:
    assert Figure("rate", [3.0], [6.0], "/s", at_least=0.5).met
    assert not Figure("rate", [2.9], [6.0], "/s", at_least=0.5).met
    assert not Bound("ready", [0.5, 1.2, 1.3], at_most=1.0).met
    assert Bound("ready", [0.5, 0.9, 1.3], at_most=1.0).line() == "ready: 900 ms [500 ms–1.3 s], at most 1 s: met"


def test_report_tells_the_machine_and_its_exit_code_tells_whether_all_is_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    met, missed = Bound("lost", [0.0], "events", at_most=0), Bound("lost", [1.0], "events", at_most=0)
    assert report("One", [met], folder=tmp_path) == 0
    assert report("Two", [met, missed], folder=tmp_path, notes=["And this."]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "cores" in printed[1]
    assert f"files on {filesystem_of(tmp_path)}" in printed[1]
    assert printed[-1] == "And this."


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(0.0123, "s", "12.3 ms", id="milliseconds"),
        pytest.param(1.5, "s", "1.5 s", id="seconds"),
        pytest.param(0.0, "s", "0 s", id="nothing"),
        pytest.param(6123.4, "/s", "6,123 /s", id="a rate"),
        pytest.param(45.42, "MB", "45.4 MB", id="megabytes"),
    ],
)
def test_numbers_are_shown_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
