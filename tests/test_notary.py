"""The bot signs its log by itself, and does not start on a log that is not the one it signed."""

import shutil
from collections.abc import Callable

from people_talk import ANA
from people_talk import ask
from people_talk import small
from run_support import approve

from audit import verify
from audit.checkpoint import read_key
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
