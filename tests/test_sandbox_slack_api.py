"""The Web API of the sandbox's Slack, as the real Slack clients meet it: answers, refusals, limits and faults."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from slack_minibot import CHANNEL
from slack_minibot import card
from slack_minibot import reason_modal
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.errors import SlackRequestError
from slack_sdk.webhook import WebhookClient

from sandbox.slack import FakeSlack
from sandbox.slack_limits import Drop
from sandbox.slack_state import Message


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack(rate_limits=False) as running:
        yield running


@pytest.fixture
def web_client(slack: FakeSlack) -> WebClient:
    return WebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


def error_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(SlackApiError) as refused:
        call(**arguments)
    return str(refused.value.response["error"])


# --- the Web API ------------------------------------------------------------------------------------


def test_tokens_are_checked(slack: FakeSlack) -> None:
    api = slack.api_url
    assert error_of(WebClient("", base_url=api).auth_test) == "not_authed"
    assert error_of(WebClient("xoxb-other", base_url=api).auth_test) == "invalid_auth"
    assert error_of(WebClient(slack.app_token, base_url=api).auth_test) == "not_allowed_token_type"
    with_bot_token = WebClient(slack.bot_token, base_url=api)
    assert error_of(with_bot_token.apps_connections_open, app_token=slack.bot_token) == "not_allowed_token_type"
    assert WebClient(slack.bot_token, base_url=api).auth_test()["user_id"] == "U0COUNTER"


def test_a_scope_that_is_missing(slack: FakeSlack, web_client: WebClient) -> None:
    slack.scopes.discard("users:read")
    assert error_of(web_client.users_info, user="U0ANA") == "missing_scope"


def test_an_unknown_method(web_client: WebClient) -> None:
    assert error_of(web_client.api_call, api_method="chat.shout") == "unknown_method"


def test_who_is_who(slack: FakeSlack, web_client: WebClient) -> None:
    assert web_client.users_info(user="U0GUS")["user"]["is_restricted"] is True
    assert web_client.users_info(user="U0OTTO")["user"]["team_id"] == "T0OTHER"
    assert error_of(web_client.users_info, user="U0NOBODY") == "user_not_found"
    assert [g["handle"] for g in web_client.usergroups_list()["usergroups"]] == ["database-owners"]

    slack.workspace.leave_group("Chi", "@database-owners")
    slack.workspace.rename_group("@database-owners", "dbas")
    slack.workspace.deactivate("Ben")
    slack.workspace.share_channel("#deploys", "Otto")

    assert web_client.usergroups_users_list(usergroup="S0OWNERS")["users"] == ["U0BEN"]
    assert [g["handle"] for g in web_client.usergroups_list()["usergroups"]] == ["dbas"]
    assert web_client.users_info(user="U0BEN")["user"]["deleted"] is True
    assert web_client.conversations_info(channel=CHANNEL)["channel"]["is_ext_shared"] is True
    assert error_of(web_client.usergroups_users_list, usergroup="S0NONE") == "no_such_subteam"


def test_members_come_in_pages(web_client: WebClient) -> None:
    pages = [page["members"] for page in web_client.conversations_members(channel=CHANNEL, limit=5)]
    assert [len(page) for page in pages] == [5, 2]


@pytest.mark.filterwarnings("ignore:The top-level `text`")
def test_posting_where_one_cannot(slack: FakeSlack, web_client: WebClient) -> None:
    post = web_client.chat_postMessage
    assert error_of(post, channel="C0NONE", text="x") == "channel_not_found"
    assert error_of(post, channel=CHANNEL, text=" ") == "no_text"
    assert error_of(post, channel=CHANNEL, text="x", thread_ts="1.1") == "thread_not_found"
    assert error_of(web_client.chat_postEphemeral, channel=CHANNEL, user="U0OTTO", text="x") == "user_not_in_channel"

    slack.workspace.change_channel("deploys", members=("U0ANA",))
    assert error_of(post, channel=CHANNEL, text="x") == "not_in_channel"
    slack.workspace.change_channel("deploys", is_private=True)
    assert error_of(post, channel=CHANNEL, text="x") == "channel_not_found"
    slack.workspace.change_channel("deploys", is_private=False, is_archived=True)
    assert error_of(post, channel=CHANNEL, text="x") == "is_archived"


def test_updating_what_one_cannot(slack: FakeSlack, web_client: WebClient) -> None:
    by_ana = slack.state.put(Message(slack.state.new_ts(), CHANNEL, "U0ANA", "mine"))
    mine = web_client.chat_postMessage(channel=CHANNEL, text="x")["ts"]
    private = web_client.chat_postEphemeral(channel=CHANNEL, user="U0ANA", text="x")["message_ts"]

    change = web_client.chat_update
    assert error_of(change, channel=CHANNEL, ts="1.1", text="x") == "message_not_found"
    assert error_of(change, channel=CHANNEL, ts=private, text="x") == "message_not_found"
    assert error_of(change, channel=CHANNEL, ts=by_ana.ts, text="x") == "cant_update_message"
    assert error_of(change, channel=CHANNEL, ts=mine, text="x" * 4_001) == "msg_too_long"
    assert change(channel=CHANNEL, ts=mine, text="x" * 4_000)["ok"]


def test_an_update_without_blocks_removes_them_and_keeps_metadata(slack: FakeSlack, web_client: WebClient) -> None:
    metadata = {"event_type": "card", "event_payload": {"request": "R-1"}}
    ts = web_client.chat_postMessage(channel=CHANNEL, text="x", blocks=card("R-1"), metadata=metadata)["ts"]
    web_client.chat_update(channel=CHANNEL, ts=ts, text="y")

    (told,) = web_client.conversations_history(channel=CHANNEL, include_all_metadata=True)["messages"]
    assert (told["text"], told["blocks"], told["metadata"]) == ("y", [], metadata)


def test_a_refused_block_is_named(web_client: WebClient) -> None:
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}
    with pytest.raises(SlackApiError) as refused:
        web_client.chat_postMessage(channel=CHANNEL, text="x", blocks=[header])

    expected = "[ERROR] must be less than 151 characters [json-pointer:/blocks/0/text/text]"
    assert refused.value.response["error"] == "invalid_blocks"
    assert refused.value.response["response_metadata"]["messages"] == [expected]


def test_forms_carry_objects_as_json_texts(slack: FakeSlack, web_client: WebClient) -> None:
    sent = {"channel": CHANNEL, "text": "x", "blocks": '[{"type": "divider"}]'}
    assert web_client.api_call("chat.postMessage", data=sent)["ok"]
    assert slack.channel("deploys").messages[0].blocks[0]["type"] == "divider"
    assert (
        error_of(web_client.api_call, api_method="chat.postMessage", data={**sent, "blocks": "["})
        == "invalid_blocks_format"
    )


def test_threads_and_permalinks(slack: FakeSlack, web_client: WebClient) -> None:
    root = web_client.chat_postMessage(channel="#deploys", text="root")["ts"]
    web_client.chat_postMessage(channel=CHANNEL, text="reply", thread_ts=root)

    assert [m["text"] for m in web_client.conversations_history(channel=CHANNEL)["messages"]] == ["root"]
    assert [m["text"] for m in web_client.conversations_replies(channel=CHANNEL, ts=root)["messages"]] == [
        "root",
        "reply",
    ]
    assert [m.text for m in slack.channel("deploys").thread(root)] == ["reply"]
    link = web_client.chat_getPermalink(channel=CHANNEL, message_ts=root)["permalink"]
    assert link.endswith(f"/archives/{CHANNEL}/p{root.replace('.', '')}")


def test_private_conversations(slack: FakeSlack, web_client: WebClient) -> None:
    opened = web_client.conversations_open(users="U0DEE")["channel"]["id"]
    web_client.chat_postMessage(channel=opened, text="hello Dee")
    web_client.chat_postMessage(channel="U0DEE", text="again")

    assert [m.text for m in slack.direct("Dee").messages] == ["hello Dee", "again"]
    slack.workspace.deactivate("Dee")
    assert error_of(web_client.conversations_open, users="U0DEE") == "user_disabled"


def test_a_file_shows_where_it_was_shared_once_it_is_complete(slack: FakeSlack, web_client: WebClient) -> None:
    root = web_client.chat_postMessage(channel=CHANNEL, text="root")["ts"]
    asked = web_client.files_getUploadURLExternal(filename="plan.sql", length=9)
    assert error_of(web_client.files_completeUploadExternal, files=[{"id": asked["file_id"]}]) == "file_not_found"

    web_client.files_upload_v2(channel=CHANNEL, thread_ts=root, filename="plan.sql", content="select 1;")
    (file,) = slack.channel("deploys").files
    assert (file.name, file.content, file.thread_ts) == ("plan.sql", b"select 1;", root)
    shares = web_client.files_info(file=file.id)["file"]["shares"]
    assert shares == {"public": {CHANNEL: [{"ts": file.message_ts, "thread_ts": root}]}}
    assert "select 1;" in slack.everything_said()


def test_shares_wait_for_the_scan() -> None:
    now = [1_700_000_000.0]
    with FakeSlack(scan_seconds=30, clock=lambda: now[0]) as slack:
        client = WebClient(slack.bot_token, base_url=slack.api_url)
        client.files_upload_v2(channel=CHANNEL, filename="plan.sql", content="select 1;")
        (file,) = slack.channel("deploys").files
        assert client.files_info(file=file.id)["file"]["shares"] == {}
        now[0] += 30
        assert client.files_info(file=file.id)["file"]["shares"] != {}


def test_reactions_and_pins_happen_once(web_client: WebClient) -> None:
    ts = web_client.chat_postMessage(channel=CHANNEL, text="x")["ts"]
    web_client.reactions_add(channel=CHANNEL, timestamp=ts, name="eyes")
    web_client.pins_add(channel=CHANNEL, timestamp=ts)

    assert error_of(web_client.reactions_add, channel=CHANNEL, timestamp=ts, name="eyes") == "already_reacted"
    assert error_of(web_client.pins_add, channel=CHANNEL, timestamp=ts) == "already_pinned"


# --- rights that end --------------------------------------------------------------------------------


@pytest.fixture
def now() -> list[float]:
    return [1_700_000_000.0]


@pytest.fixture
def timed(now: list[float]) -> Iterator[FakeSlack]:
    with FakeSlack(clock=lambda: now[0]) as running:
        yield running


def test_a_trigger_opens_one_modal_within_three_seconds(timed: FakeSlack, now: list[float]) -> None:
    client = WebClient(timed.bot_token, base_url=timed.api_url)
    first, second = (timed.state.new_trigger("U0BEN") for _ in range(2))
    view = reason_modal("x")
    client.views_open(trigger_id=first, view=view)

    assert error_of(client.views_open, trigger_id=first, view=view) == "trigger_exchanged"
    now[0] += 3.01
    assert error_of(client.views_open, trigger_id=second, view=view) == "trigger_expired"
    assert error_of(client.views_open, trigger_id="1.2.3", view=view) == "invalid_trigger_id"


def test_views_are_checked(timed: FakeSlack) -> None:
    client = WebClient(timed.bot_token, base_url=timed.api_url)
    view = reason_modal("x")
    opened = client.views_open(trigger_id=timed.state.new_trigger("U0BEN"), view=view)["view"]
    client.views_update(view_id=opened["id"], hash=opened["hash"], view=reason_modal("y"))

    assert error_of(client.views_update, view_id=opened["id"], hash=opened["hash"], view=view) == "hash_conflict"
    assert error_of(client.views_update, view_id="V0", view=view) == "not_found"
    trigger = timed.state.new_trigger("U0BEN")
    long_title = {**view, "title": {"type": "plain_text", "text": "x" * 25}}
    assert error_of(client.views_open, trigger_id=trigger, view=long_title) == "invalid_arguments"
    too_large = {**view, "private_metadata": "x" * 250_000}
    assert error_of(client.views_open, trigger_id=trigger, view=too_large) == "view_too_large"
    home = {"type": "home", "blocks": []}
    assert error_of(client.views_open, trigger_id=trigger, view=home) == "invalid_arguments"
    assert client.views_open(trigger_id=trigger, view=view)["ok"]


def test_three_views_lie_on_each_other_and_no_more(timed: FakeSlack) -> None:
    client = WebClient(timed.bot_token, base_url=timed.api_url)
    view = reason_modal("x")
    client.views_open(trigger_id=timed.state.new_trigger("U0BEN"), view=view)
    for _ in range(2):
        client.views_push(trigger_id=timed.state.new_trigger("U0BEN", in_modal=True), view=view)

    trigger = timed.state.new_trigger("U0BEN", in_modal=True)
    assert error_of(client.views_push, trigger_id=trigger, view=view) == "push_limit_reached"


def test_a_response_url_works_five_times_within_half_an_hour(timed: FakeSlack, now: list[float]) -> None:
    first, second = (
        WebhookClient(f"{timed.url}/response/{timed.state.new_response('U0ANA', CHANNEL)}") for _ in range(2)
    )
    assert [first.send(text="x").status_code for _ in range(6)] == [200] * 5 + [404]
    assert len(timed.channel("deploys").ephemeral("U0ANA")) == 5
    assert second.send(text="for all", response_type="in_channel").status_code == 200
    assert [m.text for m in timed.channel("deploys").messages] == ["for all"]
    assert second.send(text="x", blocks=[{"type": "shout"}]).status_code == 400
    now[0] += 30 * 60 + 1
    assert second.send(text="x").status_code == 404


def test_a_response_url_replaces_or_deletes_its_message(slack: FakeSlack, web_client: WebClient) -> None:
    ts = web_client.chat_postMessage(channel=CHANNEL, text="old", blocks=card("R-1"))["ts"]
    answering = WebhookClient(f"{slack.url}/response/{slack.state.new_response('U0ANA', CHANNEL, ts)}")
    answering.send(text="new", replace_original=True)
    assert [(m.ts, m.text) for m in slack.channel("deploys").messages] == [(ts, "new")]
    answering.send(delete_original=True)
    assert slack.channel("deploys").messages == []


# --- limits and faults ------------------------------------------------------------------------------


def test_posts_to_one_channel_are_limited_to_one_a_second(timed: FakeSlack, now: list[float]) -> None:
    client = WebClient(timed.bot_token, base_url=timed.api_url, retry_handlers=[])
    for _ in range(5):
        client.chat_postMessage(channel=CHANNEL, text="x")

    with pytest.raises(SlackApiError) as refused:
        client.chat_postMessage(channel=CHANNEL, text="x")
    assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (429, "1")
    client.chat_postMessage(channel="U0DEE", text="another conversation")
    now[0] += 1
    client.chat_postMessage(channel=CHANNEL, text="x")


def test_updates_have_the_limit_of_their_tier(timed: FakeSlack, now: list[float]) -> None:
    client = WebClient(timed.bot_token, base_url=timed.api_url, retry_handlers=[])
    ts = client.chat_postMessage(channel=CHANNEL, text="x")["ts"]
    for _ in range(50):
        client.chat_update(channel=CHANNEL, ts=ts, text="x")

    assert error_of(client.chat_update, channel=CHANNEL, ts=ts, text="x") == "ratelimited"
    now[0] += 60
    assert client.chat_update(channel=CHANNEL, ts=ts, text="x")["ok"]


def test_asked_for_faults_come_in_order_and_end(slack: FakeSlack, web_client: WebClient) -> None:
    slack.fail("chat.postMessage", "internal_error", 429, 503, Drop.BEFORE, Drop.AFTER)
    post = web_client.chat_postMessage

    assert error_of(post, channel=CHANNEL, text="1") == "internal_error"
    assert error_of(post, channel=CHANNEL, text="2") == "ratelimited"
    with pytest.raises((SlackApiError, SlackRequestError)):
        post(channel=CHANNEL, text="3")
    for text in ("4", "5"):
        with pytest.raises(ConnectionError):
            post(channel=CHANNEL, text=text)
    post(channel=CHANNEL, text="6")
    assert [m.text for m in slack.channel("deploys").messages] == ["5", "6"]


def test_a_slow_method(slack: FakeSlack, web_client: WebClient) -> None:
    slack.slow("auth.test", 0.2)
    started = time.monotonic()
    web_client.auth_test()
    assert time.monotonic() - started >= 0.2


# --- what people read -------------------------------------------------------------------------------


def test_a_card_as_people_read_it(slack: FakeSlack, web_client: WebClient) -> None:
    sql = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "select 1;\nselect 2;"}]}
    people = {
        "type": "rich_text_section",
        "elements": [{"type": "user", "user_id": "U0CHI"}, {"type": "text", "text": " <saw> it"}],
    }
    cells = [[{"type": "raw_text", "text": text} for text in row] for row in (("step", "took"), ("backup", "3 s"))]
    blocks = [
        *card("R-1"),
        {"type": "rich_text", "elements": [sql, people]},
        {"type": "table", "rows": cells},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "ends <!date^1700000000^{time}|22:13 UTC>"}]},
    ]
    web_client.chat_postMessage(channel=CHANNEL, text="R-1", blocks=blocks)

    assert slack.render(slack.channel("deploys").messages[0]).splitlines() == [
        "== R-1 for shop/prod ==",
        "Asked by @Ana & shown to @database-owners",
        "[Approve] [Reject]",
        "    select 1;",
        "    select 2;",
        "@Chi <saw> it",
        "| step   | took |",
        "| backup | 3 s  |",
        "· ends 22:13 UTC",
    ]


def test_calls_are_recorded_without_tokens(slack: FakeSlack, web_client: WebClient) -> None:
    web_client.api_call("chat.postMessage", data={"channel": CHANNEL, "text": "x", "token": slack.bot_token})

    (call,) = slack.calls
    assert (call.method, call.body) == ("chat.postMessage", {"channel": CHANNEL, "text": "x"})
    assert slack.bot_token not in slack.everything_said()
