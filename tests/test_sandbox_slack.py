"""People act in the sandbox's Slack, and the real Bolt app hears it: over Socket Mode and over signed HTTP."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession
from slack_minibot import CHANNEL
from slack_minibot import MiniBot
from slack_minibot import card
from slack_minibot import reason_modal
from slack_rules import problems
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.errors import SlackRequestError

from sandbox.slack import FakeSlack
from sandbox.slack import ImpossibleError
from sandbox.slack_answer import until


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack(rate_limits=False) as running:
        yield running


@pytest.fixture
def bot(slack: FakeSlack) -> Iterator[MiniBot]:
    with MiniBot(slack) as running:
        yield running


@pytest.fixture
def web_client(slack: FakeSlack) -> WebClient:
    return WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


# --- acts over Socket Mode --------------------------------------------------------------------------


def test_a_command_is_answered_by_its_acknowledgement(slack: FakeSlack, bot: MiniBot) -> None:
    answer = slack.say("Ana", "/migrate plain")

    assert answer.error is None
    assert answer.texts() == ["plain words"]
    assert [m.text for m in slack.channel("deploys").ephemeral("U0ANA")] == ["plain words"]
    assert slack.channel("deploys").messages == []


def test_command_text_arrives_escaped(slack: FakeSlack, bot: MiniBot) -> None:
    slack.say("Ana", "/migrate who @Ben @database-owners #deploys a<b & a@b.example")

    expected = "who <@U0BEN> <!subteam^S0OWNERS> <#C0DEPLOYS|deploys> a&lt;b &amp; a@b.example"
    assert [body["text"] for body in bot.commands] == [expected]


def test_what_a_response_url_brings_only_the_asker_sees(slack: FakeSlack, bot: MiniBot) -> None:
    answer = slack.say("Ana", "/migrate tell")

    assert answer.says("only you see this")
    assert slack.channel("deploys").ephemeral("U0BEN") == []


def test_a_click_carries_the_button_and_changes_the_card(slack: FakeSlack, bot: MiniBot) -> None:
    slack.say("Ana", "/migrate push prod")
    slack.click("Ben", "Approve", about="R-1")

    (click,) = bot.clicks
    assert click["actions"][0]["value"] == "approve R-1 ab12"
    assert click["user"]["id"] == "U0BEN"
    assert click["message"]["blocks"][2]["elements"][0]["action_id"] == "approve"
    (message,) = slack.channel("deploys").messages
    assert (message.text, message.blocks) == ("Approved", ())


def test_a_button_that_is_gone_cannot_be_pressed(slack: FakeSlack, bot: MiniBot) -> None:
    slack.say("Ana", "/migrate push prod")
    (message,) = slack.channel("deploys").messages
    slack.click("Ben", "Approve")

    with pytest.raises(ImpossibleError, match="sees no button"):
        slack.click("Chi", "Approve", wait=0)
    with pytest.raises(ImpossibleError, match="sees no button"):
        slack.click_message("Chi", message, "Approve")


@pytest.mark.parametrize(
    ("who", "about"),
    [
        pytest.param("Ben", "R-10", id="another request's number"),
        pytest.param("Otto", "R-1", id="somebody who is not in the channel"),
    ],
)
def test_a_button_that_is_not_there_for_this_person(slack: FakeSlack, bot: MiniBot, who: str, about: str) -> None:
    slack.say("Ana", "/migrate push prod")

    with pytest.raises(ImpossibleError, match="sees no button"):
        slack.click(who, "Approve", about=about, wait=0.05)
    assert bot.clicks == []


def test_people_of_another_company_press_buttons_but_have_no_commands(slack: FakeSlack, bot: MiniBot) -> None:
    slack.workspace.share_channel("deploys", "Otto")
    slack.say("Ana", "/migrate push prod")

    with pytest.raises(ImpossibleError, match="another company"):
        slack.say("Otto", "/migrate push prod")
    slack.click("Otto", "Approve")
    assert bot.clicks[0]["user"]["team_id"] == "T0OTHER"


def test_a_forged_click_arrives_with_any_value(slack: FakeSlack, bot: MiniBot, web_client: WebClient) -> None:
    ts = web_client.chat_postMessage(channel=CHANNEL, text="no buttons here")["ts"]
    slack.forge("U0NOBODY", value="approve R-9 0000", action_id="approve", message_ts=ts)

    assert bot.clicks[0]["actions"][0]["value"] == "approve R-9 0000"
    assert bot.clicks[0]["user"]["id"] == "U0NOBODY"


def test_a_private_message_is_pressed_by_its_person_only(slack: FakeSlack, bot: MiniBot, web_client: WebClient) -> None:
    web_client.chat_postEphemeral(channel=CHANNEL, user="U0BEN", text="for Ben", blocks=card("R-2"))

    with pytest.raises(ImpossibleError):
        slack.click("Chi", "Approve", wait=0)
    answer = slack.click("Ben", "Approve", about="R-2")
    assert "message" not in bot.clicks[0]
    assert answer.says("replaced")
    assert [m.text for m in slack.channel("deploys").ephemeral("U0BEN")] == ["replaced"]


def test_a_modal_is_opened_refused_filled_in_and_closed(slack: FakeSlack, bot: MiniBot) -> None:
    slack.say("Ana", "/migrate push prod")
    modal = slack.click("Ben", "Reject").modal()
    assert modal is not None
    assert modal.body["private_metadata"] == "reject R-1 ab12"

    with pytest.raises(ImpossibleError, match="must be filled in"):
        slack.submit("Ben", modal, {})
    with pytest.raises(ImpossibleError, match="no input called"):
        slack.submit("Ben", modal, {"code": "1"})
    with pytest.raises(ImpossibleError, match="does not look at"):
        slack.submit("Chi", modal, {"reason": "no"})
    assert slack.submit("Ben", modal, {"reason": "short"}).errors == {"reason": "say more"}
    assert slack.submit("Ben", modal, {"Why": "nonsense"}).error == "invalid_response_action"
    slack.submit("Ben", modal, {"reason": "again"})
    shown = slack.modal("Ben")
    assert shown is not None
    assert shown.body["private_metadata"] == "second"
    assert shown.hash != modal.hash

    slack.submit("Ben", shown, {"reason": "too risky"})
    assert slack.modal("Ben") is None
    assert problems(slack.posts()) == []


def test_a_closed_modal_is_told_only_when_asked_for(slack: FakeSlack, bot: MiniBot, web_client: WebClient) -> None:
    for asked in (False, True):
        view = {**reason_modal("x"), "notify_on_close": asked}
        web_client.views_open(trigger_id=slack.state.new_trigger("U0BEN"), view=view)
        shown = slack.modal("Ben")
        assert shown is not None
        answer = slack.close("Ben", shown)
        assert slack.modal("Ben") is None
        assert (answer is not None) is asked
    assert [body["is_cleared"] for body in bot.closed] == [False]


def test_a_button_on_the_home_tab(slack: FakeSlack, bot: MiniBot, web_client: WebClient) -> None:
    web_client.views_publish(user_id="U0BEN", view={"type": "home", "blocks": card("R-3")})
    home = slack.home("Ben")
    assert home is not None

    with pytest.raises(ImpossibleError, match="sees no button"):
        slack.click_view("Chi", home, "Reject")
    modal = slack.click_view("Ben", home, "Reject").modal()
    assert modal is not None
    assert modal.body["private_metadata"] == "reject R-3 ab12"
    assert bot.clicks[0]["container"] == {"type": "view", "view_id": home.id}


def test_home_and_mention(slack: FakeSlack, bot: MiniBot) -> None:
    slack.open_home("Dee")
    home = until(lambda: slack.home("Dee"), 5)
    assert home is not None
    assert slack.render(home) == "Nothing waits for you."

    answer = slack.mention("Dee", "deploys", "status")
    assert answer.says("here I am")
    assert bot.events[0]["event"]["text"] == "<@U0COUNTER> status"


# --- acknowledgements that fail ---------------------------------------------------------------------


def test_no_acknowledgement_in_time_is_an_operation_timeout() -> None:
    with FakeSlack(rate_limits=False, ack_seconds=0.2) as slack, MiniBot(slack) as bot:
        bot.silent = True
        answer = slack.say("Ana", "/migrate push prod")

    assert answer.error == "operation_timeout"
    assert "operation_timeout" in answer.text(wait=0)
    assert answer.latency_seconds >= 0.2


def test_without_a_socket_a_command_fails_at_once(slack: FakeSlack) -> None:
    assert slack.say("Ana", "/migrate push prod").error == "dispatch_failed"


def test_an_event_that_nobody_took_comes_again_with_the_same_id() -> None:
    with (
        FakeSlack(rate_limits=False, ack_seconds=0.2, event_retry_seconds=(0.0, 0.1, 0.1)) as slack,
        MiniBot(slack) as bot,
    ):
        bot.silent = True
        answer = slack.mention("Dee", "deploys", "status")
        bot.silent = False
        assert answer.error == "operation_timeout"
        assert answer.says("here I am")

    assert len(bot.events) > 1
    assert len({event["event_id"] for event in bot.events}) == 1


def test_deliveries_go_to_any_live_socket_and_an_aborted_one_comes_back(slack: FakeSlack) -> None:
    with MiniBot(slack, sockets=2) as bot:
        first = list(slack.sockets.live)
        for _ in range(20):
            assert slack.say("Ana", "/migrate help").error is None
        slack.abort_sockets()
        assert until(lambda: len(slack.sockets.live) == 2 and slack.sockets.live != first, 8)
        assert slack.say("Ana", "/migrate help").error is None
        assert len(bot.commands) == 21


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_a_told_disconnect_brings_a_new_socket(slack: FakeSlack, bot: MiniBot, reason: str) -> None:
    old = list(slack.sockets.live)
    slack.disconnect(reason)

    assert until(lambda: slack.sockets.live and slack.sockets.live != old, 8)
    assert until(lambda: slack.say("Ana", "/migrate help").error is None, 5)


def test_a_ticket_opens_one_socket_and_an_eleventh_is_sent_away(slack: FakeSlack) -> None:
    async def knock() -> tuple[list[str], int]:
        app = WebClient(slack.app_token, base_url=slack.api_url)
        async with ClientSession() as session:
            urls = [app.apps_connections_open(app_token=slack.app_token)["url"] for _ in range(11)]
            kept = [await session.ws_connect(url) for url in urls]
            kinds = [(await ws.receive_json())["type"] for ws in kept]
            again = await session.get(urls[0].replace("ws:", "http:"))
            return kinds, again.status

    kinds, again = asyncio.run(knock())
    assert kinds == ["hello"] * 10 + ["disconnect"]
    assert again == 403


def test_duplicates_reach_the_bot(slack: FakeSlack, bot: MiniBot) -> None:
    answer = slack.say("Ana", "/migrate help")
    slack.again(answer)
    slack.deliver_twice = True
    slack.say("Ben", "/migrate help")

    assert until(lambda: len(bot.commands) == 4, 5)
    assert len({body["trigger_id"] for body in bot.commands}) == 2


# --- signed HTTP ------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_same_acts_over_signed_http() -> None:
    url = f"http://127.0.0.1:{free_port()}/slack/events"
    with FakeSlack(rate_limits=False, deliver_to=url) as slack:
        bot = MiniBot(slack, http=True)
        bot.url = url
        with bot:
            assert slack.say("Ana", "/migrate plain words").texts() == ["plain words"]
            slack.say("Ana", "/migrate push prod")
            slack.click("Ben", "Approve", about="R-1")
            assert slack.mention("Dee", "deploys", "status").says("here I am")
        assert slack.say("Ana", "/migrate plain").error == "dispatch_failed"


def test_http_with_another_secret_is_refused_by_bolt() -> None:
    url = f"http://127.0.0.1:{free_port()}/slack/events"
    with FakeSlack(rate_limits=False, deliver_to=url) as slack, FakeSlack(rate_limits=False) as other:
        bot = MiniBot(other, http=True)
        bot.url = url
        with bot:
            assert slack.say("Ana", "/migrate plain words").error == "dispatch_failed"
            assert bot.commands == []


# --- outages ---


def test_all_of_slack_is_down_and_comes_back(slack: FakeSlack, bot: MiniBot, web_client: WebClient) -> None:
    slack.down = True
    assert until(lambda: not slack.sockets.live, 5)
    assert slack.say("Ana", "/migrate help").error == "dispatch_failed"
    with pytest.raises((SlackApiError, SlackRequestError)):
        web_client.auth_test()

    slack.down = False
    assert until(lambda: slack.sockets.live, 10)
    assert slack.say("Ana", "/migrate help").error is None


def test_a_black_holed_socket_is_replaced_by_the_client() -> None:
    with FakeSlack(rate_limits=False, ack_seconds=0.2) as slack, MiniBot(slack):
        old = list(slack.sockets.live)
        slack.black_hole()
        assert slack.say("Ana", "/migrate help").error == "operation_timeout"
        assert until(lambda: [s for s in slack.sockets.live if s not in old], 10)
