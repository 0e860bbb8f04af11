"""The numbers of requests as links to their cards, in what is shown away from them: Home, direct messages."""

import re
from collections.abc import Collection
from collections.abc import Iterable
from typing import Any

from bot.render import Blocks
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store

NO_MESSAGE = frozenset({"message_not_found", "channel_not_found", "not_in_channel"})

_NUMBER = re.compile(r"R-[1-9][0-9]{0,8}")


class Links:
    """Where cards are, as Slack said when it was asked about them first."""

    def __init__(self, api: SlackApi, store: Store) -> None:
        self._api = api
        self._store = store
        self._known: dict[str, tuple[tuple[str, str], str]] = {}

    def linked(self, blocks: Blocks, requests: Iterable[str]) -> Blocks:
        """The same blocks, the numbers of these requests links to their cards where they have one.

        Raises SlackUnavailableError when Slack does not say where a card is.
        """
        links = {number: self._link(number) for number in sorted(requests)}
        linked: Blocks = _with_links(blocks, {number: url for number, url in links.items() if url})
        return linked

    def keep(self, requests: Collection[str]) -> None:
        """Forget all others: a bot is up for months."""
        self._known = {number: link for number, link in self._known.items() if number in requests}

    def _link(self, number: str) -> str | None:
        """Where a request's card is, or None where there is none."""
        card = self._store.card(number)
        if card is None:
            return None
        place = (card.channel, card.message)
        at, link = self._known.get(number, (None, ""))
        if at != place:
            try:
                found = self._api.ask("chat.getPermalink", channel=card.channel, message_ts=card.message)
            except SlackUnavailableError as error:
                if error.error in NO_MESSAGE:
                    return None
                raise
            link = str(found.get("permalink") or "")
            self._known[number] = (place, link)
        return link


def numbers_in(found: Any) -> set[str]:
    """The requests that blocks name as such, in letters of their own."""
    if isinstance(found, list):
        return {number for one in found for number in numbers_in(one)}
    if not isinstance(found, dict):
        return set()
    if _is_number(found):
        return {str(found["text"])}
    return {number for one in found.values() for number in numbers_in(one)}


def _with_links(found: Any, links: dict[str, str]) -> Any:
    if isinstance(found, list):
        return [_with_links(one, links) for one in found]
    if not isinstance(found, dict):
        return found
    if _is_number(found) and found["text"] in links:
        return {"type": "link", "url": links[found["text"]], "text": found["text"], "style": {"bold": True}}
    return {key: _with_links(one, links) for key, one in found.items()}


def _is_number(found: dict[str, Any]) -> bool:
    is_code = found.get("type") == "text" and found.get("style") == {"code": True}
    return is_code and _NUMBER.fullmatch(str(found["text"])) is not None
