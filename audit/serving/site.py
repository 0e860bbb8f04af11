"""The pages: Datasette over the log and the tables made of it, with pages of our own in front."""

import asyncio
import csv
import io
import json
import logging
import re
import secrets
import sqlite3
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.parse import urlencode

from datasette import handle_exception
from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils import InvalidSql
from datasette.utils import validate_sql_select
from datasette.utils.asgi import Request
from datasette.utils.asgi import Response
from markupsafe import Markup
from markupsafe import escape

from audit.errors import AuditError
from audit.event import event_of
from audit.export import harmless
from audit.grammar import KEYS
from audit.grammar import Asked
from audit.query import Query
from audit.query import query_of
from audit.search import Page
from audit.search import search
from audit.serving.answers import Answers
from audit.serving.answers import read_rows
from audit.serving.answers_sql import TABLES
from audit.serving.dictionary import LOG_TABLES
from audit.serving.dictionary import kinds_told
from audit.serving.doors import App
from audit.serving.doors import Doors
from audit.serving.doors import asked_in_words
from audit.serving.doors import guarded
from audit.serving.doors import session_of
from audit.serving.figures import RUNS
from audit.serving.figures import figures
from audit.serving.figures import months
from audit.serving.figures import shown
from audit.serving.figures import svg
from audit.serving.questions import QUESTIONS
from audit.serving.questions import TARGETS
from audit.serving.setup import LOG_SECONDS
from audit.serving.setup import READING
from audit.serving.setup import SETTINGS
from audit.serving.setup import ReadOnly
from audit.serving.setup import metadata
from audit.side_index import SideIndex
from audit.view import Reader

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
PAGE_ROWS = 200
"""So many rows of an answer are on its page; all of them are in its CSV."""
PAGE_EVENTS = 50
MOST_CSV_ROWS = 5_000_000
CATCH_UP_SECONDS = 1.0
ANSWER_SECONDS = 30.0
"""How long a question to the tables may take."""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class Site:
    """The pages of one log. `write_down(reader, kind, data)` puts a look into the log; it raises NotWritten.
    `read_question` is the question that a text is; it raises AuditError."""

    def __init__(
        self,
        path: Path,
        answers: Answers,
        doors: Doors,
        write_down: Callable[[str, str, dict[str, Any]], None],
        read_question: Callable[[str], Asked],
    ) -> None:
        self._log = path
        self._answers = answers
        self._doors = doors
        self._write_down = write_down
        self._read_question = read_question
        self._datasette = Datasette(
            metadata=metadata(), settings=SETTINGS, template_dir=str(HERE / "templates"), cache_headers=False
        )
        self._datasette.remove_database("_memory")
        for name, file in (("log", path), ("answers", answers.path)):
            self._datasette.add_database(ReadOnly(self._datasette, str(file)), name=name)
        self.__name__ = __name__  # what Datasette calls its plugins by
        pm.unregister(name=handle_exception.__name__)  # it prints what every function holds, sessions too
        pm.register(self)

    def close(self) -> None:
        """Leave Datasette as it was found."""
        pm.unregister(self)
        pm.register(handle_exception, handle_exception.__name__)

    def app(self) -> App:
        """The whole, behind its doors."""
        return guarded(self._datasette.app(), self._doors, self._looked)

    def _looked(self, reader: str, what: str) -> None:
        self._answers.catch_up()
        self._write_down(reader, "queried", {"query": what, "rows": None})

    # What Datasette asks its plugins for. -----------------------------------------------------------------------

    @hookimpl  # type: ignore[untyped-decorator]  # pluggy's, seen through Datasette, which has no types
    def register_routes(self) -> list[tuple[str, Any]]:
        return [
            (r"^/$", self.home),
            (r"^/questions/(?P<name>[a-z-]+)$", self.question),
            (r"^/questions/(?P<name>[a-z-]+)\.csv$", self.question_csv),
            (r"^/figures$", self.figures),
            (r"^/events$", self.events),
            (r"^/dictionary$", self.dictionary),
            (r"^/(?P<database>answers|log)\.csv$", self.sql_csv),
            (r"^/(?:answers|log)/.*\.csv$", self.no_csv),
            (r"^/login$", self.login),
            (r"^/logout$", self.logout),
            (r"^/open/(?P<token>[A-Za-z0-9_-]+)$", self.open),
            (r"^/style\.css$", self.style),
        ]

    @hookimpl  # type: ignore[untyped-decorator]  # as above
    def actor_from_request(self, request: Request) -> dict[str, str] | None:
        reader = request.scope.get("reader")
        return {"id": reader} if reader else None

    @hookimpl  # type: ignore[untyped-decorator]  # as above
    def permission_allowed(self, actor: Mapping[str, str] | None, action: str, resource: Any) -> bool:
        # beside the doors, which stand before all of this; `_internal` is Datasette's own
        return actor is not None and action in READING and resource != "_internal"

    @hookimpl  # type: ignore[untyped-decorator]  # as above
    def extra_template_vars(self, request: Request) -> dict[str, Any]:
        return {
            "reader": request.scope.get("reader") if request else None,
            "questions": QUESTIONS,
            "whole": whole,
            "told": told,
        }

    @hookimpl  # type: ignore[untyped-decorator]  # as above
    def render_cell(self, value: Any, column: str, database: str | None) -> Any:
        if database not in {"answers", "log"}:
            return None
        turned = isinstance(value, str) and _UNSEEN.search(value) is not None
        return _linked(column, value) or (seen(value) if turned else None)

    @hookimpl  # type: ignore[untyped-decorator]  # as above
    async def handle_exception(self, request: Request, exception: Exception) -> Response:
        """A foreseen error with its sentence; of any other only a name under which the operator finds it."""
        status = getattr(exception, "status", 500)
        why = str(exception)
        if status == 500:
            reference = secrets.token_hex(4)
            log.error("page failed reference=%s path=%s", reference, request.path, exc_info=exception)
            why = f"Something went wrong that nobody foresaw (reference {reference})."
        if getattr(exception, "title", None) == "SQL Interrupted":
            why = f"This took longer than {LOG_SECONDS:.0f} seconds, and was ended. Ask for less."
        page = await self._page("error.html", {"error": why, "title": None}, request)
        page.status = status
        return page

    # Pages. -----------------------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        def read() -> dict[str, Any]:
            reader = Reader(self._log)
            with reader.together() as view:
                size = view.size()
                newest = view.since(size - 1, 1) if size else []
                signed = view.last(kind="checkpoint_signed")
                log_id = view.log_id()
            found = {
                name: self._ask(f"SELECT count(*) FROM ({one.sql})", {})[1][0][0]  # noqa: S608 (our own questions)
                for name, one in QUESTIONS.items()
                if one.none_expected
            }
            return {"size": size, "newest": newest, "signed": signed, "log_id": log_id, "found": found}

        return await self._page("home.html", await asyncio.to_thread(read), request)

    async def question(self, request: Request) -> Response:
        name = request.url_vars["name"]
        if name not in QUESTIONS:
            return Response.text("There is no such question.\n", status=404)
        asked = _asked(request)
        columns, rows = await asyncio.to_thread(self._ask, QUESTIONS[name].sql, asked)
        targets = [one[0] for one in (await asyncio.to_thread(self._ask, TARGETS, {}))[1]]
        context = {
            "name": name,
            "question": QUESTIONS[name],
            "columns": columns,
            "rows": [
                [_cell(column, cell) for column, cell in zip(columns, row, strict=True)] for row in rows[:PAGE_ROWS]
            ],
            "total": len(rows),
            "asked": asked,
            "targets": targets,
            "csv": f"/questions/{name}.csv?{urlencode(asked)}",
            "as_sql": "/answers?" + urlencode({"sql": QUESTIONS[name].sql, **asked}),
        }
        return await self._page("question.html", context, request)

    async def question_csv(self, request: Request) -> Response:
        name = request.url_vars["name"]
        if name not in QUESTIONS:
            return Response.text("There is no such question.\n", status=404)
        return await self._csv(request, name, self._answers.path, QUESTIONS[name].sql, _asked(request), ANSWER_SECONDS)

    async def sql_csv(self, request: Request) -> Response:
        """What somebody asks in SQL, whole: Datasette's own CSV would end at its most rows, and not say so."""
        sql = request.args.get("sql") or ""
        try:
            validate_sql_select(sql)
        except InvalidSql as error:
            return Response.text(f"{error}\n", status=400)
        on_log = request.url_vars["database"] == "log"
        path, seconds = (self._log, LOG_SECONDS) if on_log else (self._answers.path, ANSWER_SECONDS)
        values = {key: request.args[key] for key in request.args if key != "sql" and not key.startswith("_")}
        return await self._csv(request, "answer", path, sql, values, seconds)

    async def no_csv(self) -> Response:
        """Datasette's CSV of a table may end early and holds what a spreadsheet would run."""
        return Response.text("The page of the table links its CSV.\n", status=404)

    async def _csv(
        self, request: Request, name: str, path: Path, sql: str, values: Mapping[str, Any], seconds: float
    ) -> Response:
        try:
            columns, rows = await asyncio.to_thread(
                read_rows, path, sql, values, most=MOST_CSV_ROWS + 1, seconds=seconds
            )
        except sqlite3.Error as error:
            why = f"This cannot be answered in {seconds:.0f} seconds, or at all: {error}. See `countersign audit export`.\n"
            return Response.text(why, status=400)
        if len(rows) > MOST_CSV_ROWS:
            why = f"The answer has more than {MOST_CSV_ROWS:,} rows, and none of it is given. Ask for a shorter time.\n"
            return Response.text(why, status=400)
        data = {"format": "csv", "query": asked_in_words(name, urlencode(values)), "rows": len(rows)}
        await asyncio.to_thread(self._write_down, request.scope["reader"], "exported", data)
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow([harmless(column) for column in columns])
        writer.writerows([harmless(cell) for cell in row] for row in rows)
        headers = {
            "Content-Disposition": f'attachment; filename="{name}-{len(rows)}-rows.csv"',
            "X-Rows": str(len(rows)),
        }
        return Response(out.getvalue(), headers=headers, content_type="text/csv; charset=utf-8")

    async def figures(self, request: Request) -> Response:
        asked = _asked(request)
        columns, rows = await asyncio.to_thread(self._ask, RUNS, {"target": asked["target"]})
        runs = [dict(zip(columns, row, strict=True)) for row in rows]
        found = months(runs, _seconds_between, asked["since"], asked["until"])
        names = [month.name for month in found]
        pictures = [
            {"figure": one, "svg": Markup(svg(one, names)), "values": [shown(value) for value in one.values]}  # noqa: S704 (our own drawing)
            for one in figures(found)
        ]
        targets = [one[0] for one in (await asyncio.to_thread(self._ask, TARGETS, {}))[1]]
        context = {"pictures": pictures, "months": found, "asked": asked, "targets": targets, "shown": shown}
        return await self._page("figures.html", context, request)

    async def events(self, request: Request) -> Response:
        text, before = (request.args.get("q") or "").strip(), request.args.get("before") or ""
        context: dict[str, Any] = {
            "q": text,
            "before": before,
            "keys": KEYS,
            "events": [],
            "older": None,
            "error": None,
        }
        try:
            query = query_of(self._read_question(text), limit=PAGE_EVENTS, newest_first=True)
            if before.isascii() and before.isdigit() and len(before) < 19:
                query = replace(query, before_seq=min(int(before), query.before_seq or int(before)))
            found = await asyncio.to_thread(self._search, query)
            events = [event_of(row) for row in found.rows]
            context["events"] = [
                (event, seen(json.dumps(event.data, indent=2, ensure_ascii=False))) for event in events
            ]
            if found.more:
                last = found.looked_to if found.looked_to is not None else events[-1].seq
                context["older"] = "/events?" + urlencode({"q": text, "before": last})
                context["looked_to"] = found.looked_to
        except AuditError as error:
            context["error"] = f"{error.message} {error.hint}"
        return await self._page("events.html", context, request)

    def _search(self, query: Query) -> Page:
        reader = Reader(self._log)
        with reader.together() as view:
            SideIndex(self._log).catch_up(view, seconds=CATCH_UP_SECONDS)
        return search(reader, query, seconds=LOG_SECONDS)

    async def dictionary(self, request: Request) -> Response:
        return await self._page(
            "dictionary.html", {"kinds": kinds_told(), "tables": TABLES, "log": LOG_TABLES}, request
        )

    async def login(self, request: Request) -> Response:
        context = {"by_link": not self._doors.readers, "wrong": False}
        if request.method == "POST":
            said = await request.post_vars()
            name, password = said.get("name", ""), said.get("password", "")
            session = await asyncio.to_thread(self._doors.login, name, password, request.scope["client"])
            if session is not None:
                return self._let_in(session)
            context["wrong"] = True
        page = await self._page("login.html", context, request)
        page.status = 403 if context["wrong"] else 200
        return page

    async def open(self, request: Request) -> Response:
        session = await asyncio.to_thread(self._doors.open, request.url_vars["token"], request.scope["client"])
        if session is None:
            return Response.redirect("/login")
        return self._let_in(session)

    async def logout(self, request: Request) -> Response:
        if request.method != "POST":
            return Response.redirect("/")
        self._doors.end(session_of(dict(request.scope["headers"])))
        return Response.redirect("/login", headers={"Set-Cookie": self._doors.cookie("")})

    def _let_in(self, session: str) -> Response:
        return Response.redirect("/", status=303, headers={"Set-Cookie": self._doors.cookie(session)})

    async def style(self) -> Response:
        return Response((HERE / "static" / "style.css").read_text(), content_type="text/css; charset=utf-8")

    async def _page(self, template: str, context: dict[str, Any], request: Request) -> Response:
        return Response.html(await self._datasette.render_template(template, context, request=request))

    def _ask(self, sql: str, values: Mapping[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
        values = {"target": "", "since": "", "until": "", **values}
        return read_rows(self._answers.path, sql, values, most=MOST_CSV_ROWS, seconds=ANSWER_SECONDS)


def page_of(column: str, value: Any) -> str | None:
    """The address of what a cell names: an event by its number, or a request; None: it names neither."""
    if value is None or value == "":
        return None
    if column == "seq" or column.endswith("_seq"):
        return f"/events?q=event%3A{quote(str(value))}"
    if column in {"request", "carried_from"}:
        return f"/events?q=request%3A{quote(str(value))}"
    return None


def whole(sql: str) -> str:
    """The SQL of a page of a table without its limit."""
    return re.sub(r" limit \d+$", "", sql)


def told(text: str) -> Markup:
    """A sentence of ours, with what stands in backquotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def seen(text: str) -> str:
    """A text in which letters that show nothing, or turn others round, stand as their numbers."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _linked(column: str, value: Any) -> Markup | None:
    found = page_of(column, value)
    return None if found is None else Markup('<a href="{}">{}</a>').format(found, value)


def _cell(column: str, value: Any) -> Any:
    if isinstance(value, str):
        return _linked(column, value) or seen(value)
    return "" if value is None else _linked(column, value) or value


def _asked(request: Request) -> dict[str, str]:
    """The target and the days that somebody chose; each may be empty."""
    return {name: (request.args.get(name) or "").strip()[:100] for name in ("target", "since", "until")}


def _seconds_between(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
