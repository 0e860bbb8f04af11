"""`audit serve`: the log as pages in a browser, read only, until Ctrl-C."""

import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from audit import AuditError
from audit import grammar
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Page
from commands.reply import Reply
from ops.auditors import not_let_in
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import terminal_actor
from ops.layer import utc_now
from ops.log_questions import asked_of
from ops.people import NoPeople
from ops.settings import resolve_secret
from ops.windows import is_open

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def run(asked: Asked) -> Reply:
    told = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    served = serve(asked, told)
    return Reply(Page(f"The pages were served on {served}"), {"address": served})


def serve(asked: Asked, told: Callable[[str], None]) -> str:
    """Serve the pages until the process is told to end; the address. Raises OpsError, AuditError."""
    arguments = asked.arguments
    readers = _readers(asked)
    address = _checked_address(arguments, has_readers=bool(readers))
    _need_datasette()
    import uvicorn

    from audit.serving.answers import Answers
    from audit.serving.doors import Doors
    from audit.serving.doors import Refusals
    from audit.serving.site import Site

    note(asked, "queried", {"query": f"audit serve on {address}", "rows": None})
    # as Ctrl-C: by itself it would end the process before the folder is removed and the last refusals are written down
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="countersign-serve-") as folder, _listening(arguments) as listener:
        port = listener.getsockname()[1]
        address = address.replace(f":{arguments.port}", f":{port}") if not arguments.port else address
        answers = Answers(Path(folder) / "answers.db", asked.path, is_open)
        size = answers.catch_up(lambda done, size: told(f"reading event {done:,} of {size:,}"))
        refusals = Refusals(partial(_note_refusals, asked, "password" if readers else "link"))
        doors = Doors(
            readers=readers,
            hosts=_hosts(arguments, port),
            is_secure=address.startswith("https://"),
            owner=terminal_actor(asked.uid).id,
            told=lambda path: told(f"Open {address}{path}"),
            refusals=refusals,
        )
        site = Site(asked.path, answers, doors, partial(_note, asked), partial(_question, asked))
        behind = f", behind it port {port}" if arguments.origin else ""
        told(f"{size:,} events; read only, on {address}{behind}; Ctrl-C ends it.")
        if not readers:
            doors.next_link()
        config = uvicorn.Config(
            site.app(),
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=64,
            timeout_keep_alive=5,
            proxy_headers=bool(arguments.origin),  # where nothing stands before it, whoever asks could name any address
            ssl_certfile=arguments.tls_cert,
            ssl_keyfile=arguments.tls_key,
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            refusals.close()
            site.close()
    return address


def _note(asked: Asked, reader: str, kind: str, data: dict[str, Any]) -> None:
    _write_down(asked, kind, {**data, "reader": reader})


def _note_refusals(asked: Asked, by: str, places: Mapping[str, int]) -> None:
    _write_down(asked, "refused", not_let_in(by, places))


def _write_down(asked: Asked, kind: str, data: dict[str, Any]) -> None:
    from audit.serving.doors import NotWritten

    try:
        note(asked, kind, data)
    except (AuditError, OpsError) as error:
        raise NotWritten(error.message) from error
    del asked.unrecorded[1:]  # the answer tells the first; a day of looks would fill the memory


def _readers(asked: Asked) -> dict[str, str]:
    """The readers of the configuration with the hashes of their passwords. Raises OpsError(BAD_CONFIG)."""
    from audit.serving.doors import is_hash

    found: dict[str, str] = {}
    if not asked.arguments.login:
        return found
    for name, reference in asked.settings.audit.readers.items():
        found[name] = resolve_secret(reference, folder=asked.settings.folder)
        if not is_hash(found[name]):
            message = f"What [audit.readers] names for {name} is not the hash of a password."
            raise OpsError(
                Reason.BAD_CONFIG, message, "Make one with `countersign audit password`, and keep that there."
            )
    if not found:
        message = "Nobody could log in: [audit.readers] names nobody."
        hint = 'Add "lee@auditors.example" = "$AUDIT_LEE" there, with what `countersign audit password` prints.'
        raise OpsError(Reason.BAD_CONFIG, message, hint)
    return found


def _checked_address(arguments: Any, *, has_readers: bool) -> str:
    """Where the pages are told to be. Beyond this host only behind a login and TLS. Raises OpsError(BAD_USAGE)."""
    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        raise OpsError(Reason.BAD_USAGE, "--tls-cert and --tls-key go together.", "Name both, or neither.")
    if arguments.host not in LOOPBACK and not (has_readers and arguments.tls_cert):
        raise OpsError(
            Reason.BAD_USAGE,
            f"On {arguments.host} others can reach the log: it is served there only with a login and TLS.",
            "Add --login (with [audit.readers]), --tls-cert and --tls-key; or keep to loopback, with --login --origin"
            " https://… behind a server that does TLS.",
        )
    if arguments.origin and not arguments.login:
        raise OpsError(Reason.BAD_USAGE, "Under another name others can reach the log.", "Add --login.")
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    return arguments.origin or f"{'https' if arguments.tls_cert else 'http'}://{host}:{arguments.port}"


def _hosts(arguments: Any, port: int) -> frozenset[str]:
    """The names that browsers may ask under: on loopback only its own, so that no page of elsewhere gets at it."""
    if arguments.origin:
        return frozenset({arguments.origin.partition("://")[2].lower()})
    if arguments.host not in LOOPBACK:
        return frozenset()
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def _listening(arguments: Any) -> socket.socket:
    """The socket, listening. Raises OpsError(BAD_USAGE) when it is not to be had, or the certificate is no good."""
    try:
        if arguments.tls_cert:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(arguments.tls_cert, arguments.tls_key)
        family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
        return socket.create_server((arguments.host, arguments.port), family=family)
    except (OSError, ssl.SSLError) as error:
        message = f"The pages cannot be served on {arguments.host}:{arguments.port}: {error.strerror or error}."
        raise OpsError(Reason.BAD_USAGE, message, "Choose another --port, or mend what is named.") from error


def _need_datasette() -> None:
    os.environ["DATASETTE_LOAD_PLUGINS"] = ""  # whatever else is installed has no part in these pages
    try:
        import datasette.app  # noqa: F401 (whether it loads is the question)
    except ImportError as error:
        message = "The pages are made with Datasette, which is not installed here."
        hint = "In the folder of Countersign's source: pip install '.[auditors]'."
        raise OpsError(Reason.TOOLS_MISSING, message, hint) from error


def _question(asked: Asked, text: str) -> "grammar.Asked":
    try:
        return asked_of(text, asked.settings, NoPeople(), utc_now())
    except OpsError as error:
        raise grammar.BadQuery(error.message, error.hint) from error
