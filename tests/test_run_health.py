"""Health checks before and after a run: what a migration breaks is told, and secrets are not."""

import json
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any

from run_support import disagreements
from run_support import push_json

from sandbox.stage import Stage

MakeStage = Callable[..., Stage]


@contextmanager
def web(answers: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A web server on loopback; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers(self)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def check(name: str, **settings: str) -> str:
    lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
    return f'[[projects.shop.environments.dev.health]]\nname = "{name}"\n{lines}\n'


def test_a_check_that_a_migration_breaks_ends_the_run_as_applied_but_not_well(small: Stage) -> None:
    """One that failed before is no news; the one that held before is."""
    small.config.write_text(
        small.config.read_text()
        + check("never held", sql='"select false"')
        + check("nothing ran", sql="\"select to_regclass('ran') is null\"")
        + check("arithmetic", sql='"select 1 = 1"')
    )
    after = push_json(small)
    assert (after["code"], after["status"], after["reason"]) == (1, "partially_applied", "health_failed")
    assert after["applied"] == ["20260101000000"]
    assert "nothing ran (expected one row with one true" in after["message"]
    assert "never held" not in after["message"]
    assert "already failing: never held" in json.dumps(after["steps"])
    assert disagreements(small) == []
    page = small.cli("show", "R-1").out
    assert "all applied, but not ended well" in page
    assert "Every migration is on shop/dev" in page
    assert "Not on the target" not in page


def test_checks_of_urls_are_asked_with_their_secret_headers_and_tell_none_of_them(small: Stage) -> None:
    seen: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["apikey"])
        request.send_response(204 if len(seen) == 1 else 503)
        request.end_headers()

    small.environment["SHOP_KEY"] = "sesame-open-1234567890"
    small.environment["SHOP_ODD"] = "sesame-ü-1234567890"
    with web(answer) as url:
        small.config.write_text(
            small.config.read_text()
            + check("REST answers", url=f'"{url}"', status="204", headers='{ apikey = "$SHOP_KEY" }')
            + check("odd key", url=f'"{url}"', headers='{ apikey = "$SHOP_ODD" }')
            + check("no such place", url='"http://127.0.0.1:1/"')
        )
        after = push_json(small)
    assert seen == ["sesame-open-1234567890", "sesame-open-1234567890"]
    assert after["reason"] == "health_failed"
    assert "REST answers (expected 204, got 503)" in after["message"]
    said = json.dumps(after) + small.cli("show", "R-1", "--json").out + str([event.data for event in small.events()])
    assert "sesame" not in said


def test_a_check_without_an_end_is_given_up(small: Stage) -> None:
    """A body that never ends is not read; an answer that never begins, and a query that sleeps, are cut off."""
    over = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with_body = request.path == "/body"
        while not over.wait(0.2) and with_body:
            request.wfile.write(b"x")

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/silent":
            over.wait(20)
            return
        try:
            drip(request)
        except OSError:
            return

    with web(answer) as url:
        small.config.write_text(
            small.config.read_text()
            + check("streams", url=f'"{url}body"', timeout_seconds="1")
            + check("silent", url=f'"{url}silent"', timeout_seconds="1")
            + check("sleeps", sql='"select pg_sleep(60) is not null"', timeout_seconds="1")
        )
        began = time.monotonic()
        after = push_json(small)
        seconds = time.monotonic() - began
        over.set()
    assert after["status"] == "succeeded"
    found = {one["name"]: (one["ok"], one["detail"]) for one in after["steps"][0]["detail"]["health"]}
    assert found["streams"] == (True, "expected 200, got 200")
    assert found["silent"] == (False, "ReadTimeout")
    assert found["sleeps"] == (False, "SQLSTATE 57014")
    assert seconds < 15
