"""What follows the log and tells people, without a bot: letters, the channel for emergencies, places in a queue. Real logs
and stores; Slack is what a test says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import cast

import pytest
from audit_support import requested
from test_debts import ANA
from test_debts import CONFIG
from test_debts import Everybody
from test_debts import emergency

from audit import Draft
from audit import Event
from audit import Log
from audit import Query
from audit.view import View
from bot import direct
from bot import queues
from bot.channels import SHARED
from bot.direct import READER
from bot.direct import Direct
from bot.queues import Queues
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store
from bot.widely import tell_widely
from commands.told import About
from commands.told import Letter
from commands.told import letters_of
from ops.layer import Ops
from ops.occupying import occupant_of
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.settings import read_settings

BEN = "slack:T0ACME/U0BEN"
LATER = "2027-11-23T12:00:00.000000Z"


class Town:
    """What Slack answers: `down` are the words in a call that fail it just now."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.down: dict[str, str] = {}
        self.shared = False

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        for word, error in self.down.items():
            if word in str(arguments):
                raise SlackUnavailableError(method, error)
        if method == "conversations.open":
            return {"channel": {"id": f"D{arguments['users']}"}}
        self.posted.append(f"{arguments['channel']}: {arguments['text']}")
        return {"ts": "1.1"}

    def ask(self, method: str, **arguments: str) -> dict[str, Any]:
        return {"channel": {"is_ext_shared": self.shared}} if method == "conversations.info" else {}


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[Ops]:
    config = f'[slack]\nchannel = "C0DEPLOYS"\nemergency_channel = "C0ONCALL"\n{CONFIG}'
    settings = read_settings(config.encode(), tmp_path / "countersign.toml")
    (tmp_path / "var").mkdir()
    Log.create(settings.log_path)
    with Log.open(settings.log_path) as log:
        yield Ops(settings, log, people=Everybody())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def rejected(ops: Ops, number: str, because: str = "no") -> None:
    """Ana's request, to which Ben says no: she is told."""
    policy = {"approvals": 1, "approvers": ["U0BEN"]}
    ops.log.append([requested(number, expires_at=LATER, plan={"policy": policy, "files": []})])
    data = {"digest": "d" * 64, "because": because, "facts": {}}
    fields: dict[str, Any] = {"project": "shop", "environment": "prod", "request": number}
    ops.log.append([Draft(kind="rejected", actor=BEN, stream=f"request:{number}", data=data, **fields)])


def follower(ops: Ops, town: Town, store: Store) -> Direct:
    store.follow(READER, 0)
    return Direct(ops, cast(SlackApi, town), store)


def test_an_event_of_which_no_letter_can_be_made_holds_up_no_other(
    ops: Ops, town: Town, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    data = {"digest": "d" * 64, "because": "no", "facts": {}}
    ops.log.append([Draft(kind="rejected", actor=BEN, stream="request:R-9", request="R-9", data=data)])
    rejected(ops, "R-1")

    follower(ops, town, store)._follow()

    assert len(town.posted) == 1
    assert "R-1 for shop/prod: rejected" in town.posted[0]
    assert "not_told_directly reference=" in caplog.text
    assert store.followed(READER) == ops.view.find(Query(limit=1, newest_first=True))[0].seq


def test_a_letter_that_is_stuck_lets_the_others_be_worked_out_once(
    ops: Ops, town: Town, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.down = {"stuck": "timeout"}
    rejected(ops, "R-1", "it is stuck")
    for number in range(2, 6):
        rejected(ops, f"R-{number}")
    follows = follower(ops, town, store)
    worked_out: list[str] = []

    def work_out(event: Event, about: About) -> list[Letter]:
        worked_out.append(event.request or "")
        return letters_of(event, about)

    monkeypatch.setattr(direct, "letters_of", work_out)
    monkeypatch.setattr(direct, "AGAIN_SECONDS", (0.0,))

    follows._follow()
    follows._follow()
    assert worked_out == ["R-1", "R-2", "R-3", "R-4", "R-5", "R-1"]
    assert len(town.posted) == 4

    town.down = {}
    rejected(ops, "R-6")
    follows._follow()
    assert [one.split(" for ")[0] for one in town.posted[4:]] == ["DU0ANA: R-1", "DU0ANA: R-6"]
    assert store.followed(READER) == ops.view.find(Query(limit=1, newest_first=True))[0].seq
    follower(ops, town, store)._follow()
    assert len(town.posted) == 6


def test_an_emergency_that_the_channel_did_not_take_is_told_there_later_and_once(
    ops: Ops, town: Town, store: Store
) -> None:
    request, api = emergency(ops), cast(SlackApi, town)
    town.down = {"C0ONCALL": "timeout"}
    with pytest.raises(SlackUnavailableError):
        tell_widely(ops, api, store, request)
    town.down = {}
    tell_widely(ops, api, store, request)
    tell_widely(ops, api, store, request)
    assert len(town.posted) == 1
    assert town.posted[0].startswith("C0ONCALL: Emergency: R-1 on shop/prod runs without approvals")


@pytest.mark.parametrize("error", [SHARED, "channel_not_found"])
def test_an_emergency_goes_to_no_channel_shared_with_another_company(
    ops: Ops, town: Town, store: Store, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, api = emergency(ops), cast(SlackApi, town)
    town.shared, town.down = error == SHARED, {"C0ONCALL": error}
    tell_widely(ops, api, store, request)
    tell_widely(ops, api, store, request)
    assert town.posted == []
    assert caplog.text.count("emergency_channel_cannot_be_told channel=C0ONCALL") == 1
    assert error in caplog.text


def test_a_move_in_a_queue_reads_the_open_requests_once_and_names_only_whom_it_moves(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [f"R-{number}" for number in range(1, 6)]
    ops.log.append([requested(number, expires_at=LATER) for number in numbers])
    looks, line = [0], Queues(ops)

    def look(view: View) -> list[Request]:
        looks[0] += 1
        return open_requests(view)

    monkeypatch.setattr(queues, "open_requests", look)
    assert [line.ahead(find_request(ops.view, one)) for one in numbers[:3]] == [(), ("R-1",), ("R-1", "R-2")]
    assert looks == [1]
    fields: dict[str, Any] = {"project": "shop", "environment": "prod", "request": "R-3"}
    ops.log.append(
        [Draft(kind="cancelled", actor=ANA.id, stream="request:R-3", data={"because": "taken back"}, **fields)]
    )
    assert line.moved("shop/prod") == ["R-4", "R-5"]
    assert looks == [2]
    ops.log.append([requested("R-6", expires_at=LATER)])
    assert line.ahead(find_request(ops.view, "R-6")) == ("R-1", "R-2", "R-4", "R-5")
    assert line.moved("shop/prod") == []


class Indexed(View):
    """The log, but nobody reads a stream whole."""

    def events(self, *, stream: str) -> list[Any]:
        raise AssertionError(stream)


HELD = [
    ((), None),
    (("started",), "R-7"),
    (("started", "succeeded"), None),
    (("started", "failed", "started"), "R-7"),
    (("started", "interrupted"), "R-7 blocked"),
    (("started", "interrupted", "recorded"), None),
    (("started", "interrupted", "recorded", "started", "partially_applied"), None),
    (("started", "superseded"), None),
]


@pytest.mark.parametrize(("kinds", "holds"), HELD, ids=[" ".join(kinds) or "nothing" for kinds, _ in HELD])
def test_who_holds_a_target_is_told_without_reading_its_whole_stream(
    ops: Ops, kinds: tuple[str, ...], holds: str | None
) -> None:
    left = {"reason": "x", "message": "x", "step": "migrate", "applied": []}
    data: dict[str, dict[str, Any]] = {
        "started": {"digest": "d" * 64, "attempt": 1, "runner": "host/1", "facts": {}},
        "succeeded": {"applied": [], "seconds": 1.0},
        "failed": {**left, "stopped_by": None},
        "interrupted": {**left, "unknown": []},
        "partially_applied": {**left, "not_applied": [], "within": None, "stopped_by": None},
        "superseded": {"changed": [], "message": "x", "by": None},
        "recorded": {"because": "x", "by": ANA.id, "versions": []},
    }
    data["failed"].pop("applied")
    fields: dict[str, Any] = {"project": "shop", "environment": "prod", "request": "R-7"}
    for kind in kinds:
        ops.log.append([Draft(kind=kind, actor=ANA.id, stream="target:shop/prod", data=data[kind], **fields)])
        ops.log.append([Draft(kind="started", actor=ANA.id, stream="target:shop/dev", data=data["started"], **fields)])
    with ops.view.together() as view:
        found = occupant_of(Indexed(view._connection), "target:shop/prod")
    assert (found and f"{found.request}{' blocked' if found.blocked else ''}") == holds
