"""Slack's directory behind ops' People port: asked live, and every uncertain answer is a refusal."""

from typing import Any

from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Group
from ops.people import Person


class SlackPeople:
    """The workspace's people and groups as they are at the moment of the question."""

    are_known = True

    def __init__(self, api: SlackApi, team: str) -> None:
        self._api = api
        self._team = team

    def person(self, user: str) -> Person:
        """This person just now. Raises OpsError(IDENTITY_UNPROVEN) when Slack does not say."""
        try:
            found = self._api.ask("users.info", user=user).get("user")
        except SlackUnavailableError as error:
            if error.error in {"user_not_found", "user_not_visible", "users_not_found"}:
                return Person(user, user, "Slack does not know you")
            raise _unproven(f"who {user} is", error) from error
        if not isinstance(found, dict) or found.get("id") != user:
            raise _unproven(f"who {user} is", SlackUnavailableError("users.info", "no user in the answer"))
        profile = found.get("profile") or {}
        name = profile.get("display_name") or profile.get("real_name") or found.get("real_name") or user
        zone = found.get("tz")
        return Person(user, str(name)[:80], self._problem(found), zone if isinstance(zone, str) else None)

    def group(self, handle: str) -> Group:
        """The group that this handle names just now. Raises OpsError when Slack does not say or there is none."""
        wanted = handle.removeprefix("@")
        try:
            groups = self._api.ask("usergroups.list", include_disabled="false").get("usergroups")
            found = [one for one in groups or [] if one.get("handle") == wanted and not one.get("date_delete")]
            if len(found) != 1:
                raise OpsError(
                    Reason.IDENTITY_UNPROVEN,
                    f"Slack has {'no' if not found else 'more than one'} user group {handle}.",
                    "Mend the group in Slack or its handle in the configuration.",
                    exit_code=3,
                )
            members = self._api.ask("usergroups.users.list", usergroup=str(found[0]["id"])).get("users")
        except SlackUnavailableError as error:
            raise _unproven(f"who is in {handle}", error) from error
        if not isinstance(members, list):
            raise _unproven(
                f"who is in {handle}", SlackUnavailableError("usergroups.users.list", "no users in the answer")
            )
        return Group(str(found[0]["id"]), handle, frozenset(str(member) for member in members))

    def _problem(self, user: dict[str, Any]) -> str | None:
        """Why this person may decide nothing, as they are told it, or None. A flag that Slack leaves out permits nothing."""
        if user.get("deleted"):
            return "your account is deactivated"
        if user.get("is_bot") or user.get("is_workflow_bot") or user.get("id") == "USLACKBOT":
            return "you are a bot"
        if user.get("is_stranger") or user.get("team_id") != self._team:
            return "you belong to another workspace"
        if user.get("is_restricted") or user.get("is_ultra_restricted"):
            return "you are a guest"
        if user.get("is_invited_user"):
            return "you have not joined yet"
        if not all(user.get(flag) is False for flag in ("deleted", "is_bot", "is_restricted", "is_ultra_restricted")):
            return "Slack does not say whether you are a full member"
        return None


def _unproven(what: str, error: SlackUnavailableError) -> OpsError:
    return OpsError(
        Reason.IDENTITY_UNPROVEN,
        f"Slack did not say {what} ({error.error}), so this does not count.",
        "Try again in a moment.",
        exit_code=3,
    )
