"""The two manifests describe one Slack app that Slack takes and the bot needs."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
MANIFESTS = ["manifest.yaml", "manifest.http.yaml"]
EVENTS_URL = "https://countersign.example.com/slack/events"


def load(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_keeps_slacks_limits(name: str) -> None:
    """https://docs.slack.dev/reference/app-manifest, read 2026-11-22."""
    manifest = load(name)
    display, features = manifest["display_information"], manifest["features"]
    assert set(manifest) == {"_metadata", "display_information", "features", "oauth_config", "settings"}
    assert display["name"] == features["bot_user"]["display_name"] == "Countersign"
    assert len(display["name"]) <= 35
    assert 1 <= len(display["description"]) <= 140
    assert re.fullmatch(r"#[0-9a-f]{6}", display["background_color"])
    for command in features["slash_commands"]:
        assert re.fullmatch(r"/[a-z]{1,31}", command["command"])
        assert 1 <= len(command["description"]) <= 2000
        assert 1 <= len(command["usage_hint"]) <= 1000
        assert command["should_escape"] is True
    for listed in (
        manifest["oauth_config"]["scopes"]["bot"],
        manifest["settings"]["event_subscriptions"]["bot_events"],
    ):
        assert len(set(listed)) == len(listed) <= 100
        assert all(isinstance(entry, str) and len(entry) <= 50 for entry in listed)


@pytest.mark.parametrize("name", MANIFESTS)
def test_app_asks_for_what_it_uses_and_no_more(name: str) -> None:
    assert sorted(load(name)["oauth_config"]["scopes"]["bot"]) == [
        "app_mentions:read",
        "channels:read",
        "chat:write",
        "commands",
        "files:read",
        "files:write",
        "groups:read",
        "im:write",
        "usergroups:read",
        "users:read",
    ]


@pytest.mark.parametrize(
    ("event", "scope"),
    [
        ("app_mention", "app_mentions:read"),
        ("channel_id_changed", "channels:read"),
        ("subteam_members_changed", "usergroups:read"),
        ("subteam_updated", "usergroups:read"),
        ("user_change", "users:read"),
    ],
)
def test_event_has_the_scope_that_slack_wants_for_it(event: str, scope: str) -> None:
    for manifest in map(load, MANIFESTS):
        assert event in manifest["settings"]["event_subscriptions"]["bot_events"]
        assert scope in manifest["oauth_config"]["scopes"]["bot"]


def test_app_has_a_home_and_hears_who_opens_it() -> None:
    """`app_home_opened` needs no scope: https://docs.slack.dev/reference/events/app_home_opened, read 2026-11."""
    for manifest in map(load, MANIFESTS):
        assert manifest["features"]["app_home"]["home_tab_enabled"] is True
        assert "app_home_opened" in manifest["settings"]["event_subscriptions"]["bot_events"]


def test_socket_mode_needs_no_address() -> None:
    text = (ROOT / "manifest.yaml").read_text(encoding="utf-8")
    settings = load("manifest.yaml")["settings"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"] == {"is_enabled": True}
    assert not re.search(r"^\s*(request_)?url:", text, re.MULTILINE)


def test_http_mode_differs_only_in_its_addresses() -> None:
    http = load("manifest.http.yaml")
    addresses = [
        http["features"]["slash_commands"][0].pop("url"),
        http["settings"]["event_subscriptions"].pop("request_url"),
        http["settings"]["interactivity"].pop("request_url"),
    ]
    assert addresses == [EVENTS_URL] * 3
    expected = copy.deepcopy(load("manifest.yaml"))
    expected["settings"]["socket_mode_enabled"] = False
    assert expected == http
