"""The page on which the value of a secret is entered: one form without a script, at an address that is good once.

Looking at the page uses nothing up, for mail scanners and previews look at every address; sending the form does. A form of
another place is refused: it lacks the ticket of the page that this browser was shown last, which its cookie has as well.
"""

import asyncio
import hashlib
import html
import secrets
import uuid
from collections.abc import Mapping

from aiohttp import web

from audit import AuditError
from ops.errors import OpsError
from ops.giving_values import check_takes_value
from ops.giving_values import give_value
from ops.layer import Ops
from ops.layer import record_refusal
from ops.listener_settings import origin_of
from ops.requests import Request
from ops.status import Status
from ops.supabase.multipart import parse_parts
from ops.value_links import ValueLink
from ops.values import checked_value

PATH = "/value/{token:[A-Za-z0-9_-]{20,100}}"
_STYLE = (
    "body{font:16px sans-serif;max-width:40em;margin:3em auto;padding:0 1em}"
    "textarea{width:100%;-webkit-text-security:disc}button{font:inherit}"
)
_NONCE_LETTERS = 16


class ValuePages:
    """The two answers of the page. The run that a value starts is done before the second one is given."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.show, allow_head=False), web.post(PATH, self.give)]

    async def show(self, asked: web.Request) -> web.Response:
        token = asked.match_info["token"]
        link = self._ops.value_links.shown(token, self._ops.now())
        if link is None:
            return _gone()
        try:
            request = await asyncio.to_thread(check_takes_value, self._ops, link.request, link.actor)
        except OpsError as error:
            return _page("Not now", f"{error.message} {error.hint}", status=409)
        about = f"What you enter is set at once as {request.id}, without a line end behind it, and kept nowhere here."
        answer = _page(_title(request), about, _form(link))
        answer.set_cookie(
            _cookie(token),
            link.ticket,
            path="/",  # a proxy may have the page under another path; the name is of this page alone
            max_age=600,
            httponly=True,
            samesite="Strict",
            secure=self._is_https,
        )
        return answer

    async def give(self, asked: web.Request) -> web.Response:
        if not self._is_ours(asked):
            return _page(
                "Not this way", "This form was not sent by the page of this address. Nothing was done.", status=403
            )
        fields = await _fields(asked)
        ticket = fields.get("ticket", "")
        if not ticket or not secrets.compare_digest(
            ticket.encode(), asked.cookies.get(_cookie(asked.match_info["token"]), "").encode()
        ):
            return _page("Not this way", "This form is not the one that was shown last. Nothing was done.", status=403)
        link = self._ops.value_links.take(asked.match_info["token"], ticket, self._ops.now())
        if link is None:
            return _gone()
        try:
            return await asyncio.shield(asyncio.to_thread(self._give, link, fields.get("value", "")))
        except AuditError as error:
            return _page("Not done", f"The log could not record it, so nothing was done: {error.message}", status=503)

    def _give(self, link: ValueLink, text: str) -> web.Response:
        """Carry it out in this thread, to its end, whether or not somebody still waits for the answer."""
        act = f"page:{uuid.uuid4()}"
        try:
            request = give_value(
                self._ops, link.request, checked_value(text.replace("\r\n", "\n")), link.actor, act, "page"
            )
        except OpsError as error:
            record_refusal(self._ops, link.actor, act, "secrets", error, link.request)
            return _page("Not done", f"{error.message} {error.hint} For another try, ask for a new link.", status=409)
        name = request.plan["facts"]["secret"]
        if request.status is Status.SUCCEEDED:
            return _page("Done", f"{name} is set. You can close this page; what you entered is kept nowhere here.")
        said = str(request.ending.get("message") or f"{request.id} is {request.status.value.replace('_', ' ')}.")
        return _page("Not done", f"{said} Its card in Slack says more.", status=502)

    @property
    def _is_https(self) -> bool:
        listener = self._ops.settings.listener
        return listener is not None and origin_of(listener.url).startswith("https:")

    def _is_ours(self, asked: web.Request) -> bool:
        """Whether a browser that says where a form comes from says that it is this page."""
        listener = self._ops.settings.listener
        origin, site = asked.headers.get("Origin"), asked.headers.get("Sec-Fetch-Site")
        return (origin is None or (listener is not None and origin == origin_of(listener.url))) and site in {
            None,
            "same-origin",
        }


def _cookie(token: str) -> str:
    """The name of a page's cookie, which is good for all paths: it says nothing of the token."""
    return f"ticket-{hashlib.sha256(token.encode()).hexdigest()[:16]}"


def _title(request: Request) -> str:
    return f"{request.plan['facts']['secret']} of {request.target}"


def _form(link: ValueLink) -> str:
    """Sent in parts, since another form would make a long value three times as long."""
    return (
        '<form method="post" enctype="multipart/form-data" autocomplete="off">'
        f'<input type="hidden" name="ticket" value="{html.escape(link.ticket, quote=True)}">'
        '<p><label for="value">Value</label><br>'
        '<textarea id="value" name="value" rows="4" required autofocus spellcheck="false" autocomplete="off"></textarea></p>'
        '<p><button type="submit">Set it</button></p></form>'
    )


def _gone() -> web.Response:
    said = "This address was used, or is more than ten minutes old, or never was one. Nothing was done."
    return _page("Not good any more", f"{said} Ask for a new link in Slack with the same words.", status=410)


def _page(title: str, said: str, form: str = "", *, status: int = 200) -> web.Response:
    """A whole page: what is said, and a form, which is HTML already."""
    nonce = secrets.token_urlsafe(_NONCE_LETTERS)
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{html.escape(title)}</title><style nonce="{nonce}">{_STYLE}</style>'
        f"<main><h1>{html.escape(title)}</h1><p>{html.escape(said)}</p>{form}</main></html>"
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'",
        "Referrer-Policy": "same-origin",
    }
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


async def _fields(asked: web.Request) -> Mapping[str, str]:
    """The text fields of the form; what is no form has none. The listener has read the body already."""
    try:
        parts = parse_parts(asked.headers.get("Content-Type", ""), await asked.read())
        return {part.name: part.content.decode() for part in parts}
    except ValueError:
        return {}
