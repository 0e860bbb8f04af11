"""The bot keeps its log by itself: it signs it, seals its months and indexes it; and it does not start on a log that is not
the one it signed."""

import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

from audit_support import commanded
from people_talk import ANA
from people_talk import ask
from people_talk import small
from run_support import approve

from audit import Log
from audit import Reader
from audit import verify
from audit.anchors import anchors_in
from audit.checkpoint import origin_of
from audit.checkpoint import read_key
from audit.side_index import WORTH
from audit.side_index import SideIndex
from sandbox.slack_answer import until
from sandbox.stage import Stage

SETTINGS = """
path = "var/audit.db"
key = "keys/audit.key"
anchors = [{ file = "elsewhere.jsonl" }, { slack = "C0DEPLOYS" }]
"""


def test_a_run_is_signed_when_it_ends_and_a_replaced_log_is_refused(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, start=False)
    stage.config.write_text(stage.config.read_text().replace('path = "var/audit.db"', SETTINGS))
    assert stage.cli("audit", "key").code == 0
    stage.start_bot()
    ask(stage, ANA)
    stage.stop_bot()
    signed = stage.events("checkpoint_signed")
    assert [event.data["because"] for event in signed if event.data] == ["interval", "stop"]
    older = stage.folder / "older.db"
    shutil.copy(stage.log_path, older)

    stage.start_bot()
    approve(stage)
    assert until(lambda: any((one.data or {}).get("because") == "run" for one in stage.events("checkpoint_signed")), 30)
    stage.stop_bot()
    key = read_key(stage.folder / "keys" / "audit.key").verify_key
    posted = "\n".join(stage.slack.render(one) for one in stage.slack.channel("deploys").messages)
    found = [
        verify(stage.log_path, anchors=[(name, text)], keys=[key], wants_anchor=True)
        for name, text in (("file", (stage.folder / "elsewhere.jsonl").read_text()), ("slack", posted))
    ]
    assert all(one.ok for one in found)
    assert found[0].anchors >= 3
    assert found[0].anchored > stage.events("succeeded")[0].seq

    shutil.copy(older, stage.log_path)
    for end in ("-wal", "-shm"):
        stage.log_path.with_name(stage.log_path.name + end).unlink(missing_ok=True)
    before = older.read_bytes()
    refused = stage.cli("bot", "--json", seconds=30)
    assert refused.code == 2
    assert refused.json["reason"] == "log_replaced"
    assert "has fewer events" in refused.json["message"]
    assert stage.log_path.read_bytes() == before


def signed(stage: Stage) -> list[int]:
    """The sizes of the checkpoints that the log holds, which were signed because their time had come."""
    return [
        one.data["size"] for one in stage.events("checkpoint_signed") if one.data and one.data["because"] == "interval"
    ]


def test_the_bot_signs_at_intervals_and_puts_each_at_every_place(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, start=False, movable_clock=True)
    assert stage.clock is not None
    settings = SETTINGS.replace("anchors", 'checkpoint_every = "2h"\nanchors')
    stage.config.write_text(stage.config.read_text().replace('path = "var/audit.db"', settings))
    assert stage.cli("audit", "key").code == 0
    stage.start_bot()
    assert until(lambda: len(signed(stage)) == 1, 30)
    stage.slack.say(ANA, "/migrate status").text(20)

    stage.clock.forward(2 * 3600 + 1)
    assert until(lambda: len(signed(stage)) == 2, 30), stage.bot_log.read_text()[-2000:]
    stage.clock.forward(24 * 3600 + 1)  # once a day also where nothing happens
    assert until(lambda: len(signed(stage)) == 3, 30), stage.bot_log.read_text()[-2000:]
    sizes = signed(stage)
    assert until(lambda: len(stage.events("checkpoint_published")) >= 6, 30)

    assert sizes[1] > stage.events("commanded")[0].seq
    for where in (f"file:{stage.folder / 'elsewhere.jsonl'}", "slack:C0DEPLOYS"):
        published = [one.data or {} for one in stage.events("checkpoint_published")]
        assert [one["size"] for one in published if one["where"] == where] == sizes
    key = read_key(stage.folder / "keys" / "audit.key").verify_key
    posted = "\n".join(stage.slack.render(one) for one in stage.slack.channel("deploys").messages)
    for text in ((stage.folder / "elsewhere.jsonl").read_text(), posted):
        found = anchors_in([("there", text)], origin_of(Reader(stage.log_path).log_id()), [key])
        assert [one.checkpoint.size for one in found.found] == sizes


def covered(path: Path) -> int:
    """How many events the side file of a log has taken in. Seldom asked: who reads keeps the one who writes it waiting."""
    time.sleep(2)
    with Reader(path).together() as view, SideIndex(path).opened(view) as opened:
        return opened.covered if opened else 0


def test_the_bot_seals_the_month_that_is_over_and_indexes_the_log(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, start=False, movable_clock=True)
    assert stage.clock is not None
    with Log.open(stage.log_path, clock=stage.clock.now) as log:
        for _ in range(WORTH // 200):
            log.append([commanded("status") for _ in range(200)])
    month, last = f"{stage.clock.now():%Y-%m}", Reader(stage.log_path).size()
    stage.clock.forward(32 * 86400)

    stage.start_bot()

    assert until(lambda: stage.events("segment_sealed"), 30), stage.bot_log.read_text()[-2000:]
    segment = stage.folder / "var" / "audit.segments" / f"{month}.db"
    assert stat.S_IMODE(segment.stat().st_mode) == 0o440
    [told] = stage.events("segment_sealed")
    assert told.data is not None
    assert (told.data["month"], told.data["last_seq"]) == (month, last)
    held = verify(segment, is_part=True)
    assert (held.ok, held.events) == (True, last)
    assert until(lambda: covered(stage.log_path) > last, 90), stage.bot_log.read_text()[-2000:]
    found = stage.cli("audit", "query", "kind:segment_sealed", "--json")
    assert [one["seq"] for one in found.json["events"]] == [told.seq]
