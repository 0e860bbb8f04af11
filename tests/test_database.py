"""Which connections are made at all, and what a session is like once it is."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager

import psycopg
import pytest
from apply_helpers import Target
from apply_helpers import fresh_target

from ops.database import connect
from ops.database import connection_parameters
from ops.database import target_failed
from ops.errors import OpsError
from ops.errors import Reason

SECRET = "hunter2-very-secret"


@pytest.fixture
def target() -> Iterator[Target]:
    with fresh_target(history=False) as fresh:
        yield fresh


def _one(connection, query: str):
    return connection.execute(query).fetchone()[0]


def test_a_session_says_what_it_is_for_and_commits_by_itself(target):
    with closing(connect(target.url, purpose="plan shop/prod")) as connection:
        assert connection.autocommit
        assert _one(connection, "SHOW application_name") == "countersign plan shop/prod"
        assert _one(connection, "SHOW client_encoding") == "UTF8"


def test_a_long_purpose_or_one_with_umlauts_is_still_a_name(target):
    with closing(connect(target.url, purpose="plan größe " + "x" * 100)) as connection:
        assert _one(connection, "SHOW application_name").startswith("countersign plan gr")


@pytest.mark.parametrize("login", ["supabase_admin", "cli_login_7f", "cli_login_7f.abcdefghijklmnopqrst"])
def test_logins_that_the_cli_changes_act_as_postgres(target, login):
    url = target.admin_url
    if login != "supabase_admin":
        with psycopg.connect(target.admin_url, autocommit=True) as admin:
            password = admin.info.password
            admin.execute(f"""DROP ROLE IF EXISTS "{login}" """)
            admin.execute(f"""CREATE ROLE "{login}" LOGIN IN ROLE postgres PASSWORD '{password}'""")
        url = target.admin_url.replace("supabase_admin", login)
    with closing(connect(url, purpose="test")) as connection:
        assert connection.execute("SELECT current_user, session_user").fetchone() == ("postgres", login)


def test_another_login_stays_who_it_is(target):
    with closing(connect(target.url, purpose="test")) as connection:
        assert connection.execute("SELECT current_user, current_setting('role')").fetchone() == ("postgres", "none")


def test_a_login_that_lacks_a_right_is_not_told_that_the_target_is_down(target):
    with closing(target.connect()) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT rolpassword FROM pg_catalog.pg_authid")
    told = target_failed("shop/prod", caught.value)
    assert (told.reason, told.exit_code) == (Reason.TARGET_REFUSED, 1)
    assert told.message == "shop/prod does not let our login do what is needed there (SQLSTATE 42501)."


REFUSED = {
    "plain text over a network": (f"postgresql://u:{SECRET}@db.example.com/d?sslmode=disable", Reason.TARGET_REFUSED),
    "a real address hidden by a local name": (
        f"postgresql://u:{SECRET}@localhost/d?hostaddr=192.0.2.1&sslmode=disable",
        Reason.TARGET_REFUSED,
    ),
    "the transaction pooler": (f"postgresql://u.r:{SECRET}@p.pooler.supabase.com:6543/d", Reason.TARGET_REFUSED),
    "two servers": (f"postgresql://u:{SECRET}@one,two/d", Reason.TARGET_REFUSED),
    "no server": (f"postgresql:///d?user=u&password={SECRET}", Reason.BAD_CONFIG),
    "no database": (f"postgresql://u:{SECRET}@127.0.0.1", Reason.BAD_CONFIG),
    "no user": ("postgresql://127.0.0.1/d", Reason.BAD_CONFIG),
    "a service file": (f"postgresql://u:{SECRET}@127.0.0.1/d?service=x", Reason.BAD_CONFIG),
    "not a URL": (f"host=127.0.0.1 password={SECRET}' user", Reason.BAD_CONFIG),
    "a bad escape": (f"postgresql://u:%zz{SECRET}@127.0.0.1/d", Reason.BAD_CONFIG),
    "an unknown parameter": (f"postgresql://u:{SECRET}@127.0.0.1/d?bogus={SECRET}", Reason.BAD_CONFIG),
}


@pytest.mark.parametrize(("url", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_before_anything_is_opened_and_without_the_password(url, reason):
    with pytest.raises(OpsError) as caught:
        connection_parameters(url)
    assert caught.value.reason is reason
    assert SECRET not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("", "require"), ("prefer", "require"), ("allow", "require"), ("require", "require"), ("verify-full",) * 2],
)
def test_a_server_across_a_network_is_always_encrypted(monkeypatch, said, meant):
    monkeypatch.setenv("PGSSLMODE", "disable")
    url = "postgresql://u@db.example.com/d" + (f"?sslmode={said}" if said else "")
    parameters = connection_parameters(url)
    assert (parameters["sslmode"], parameters["gssencmode"]) == (meant, "disable")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost", "%2Frun%2Fpostgresql"])
def test_this_machine_may_do_without_encryption(host):
    assert connection_parameters(f"postgresql://u@{host}/d?sslmode=disable")["sslmode"] == "disable"


def test_a_server_without_encryption_is_not_talked_to_across_a_network(target):
    """The wheel's server has no TLS: with what is asked of a remote one, no session comes about."""
    parameters = connection_parameters(target.url) | {"sslmode": connection_parameters("postgresql://u@h/d")["sslmode"]}
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        psycopg.connect(**parameters)


def test_no_server_or_a_wrong_password_is_an_answer_without_the_password(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for url in (
        f"postgresql://u:{SECRET}@127.0.0.1:{port}/d",
        target.url.replace(psycopg.conninfo.conninfo_to_dict(target.url)["password"], SECRET),
    ):
        with pytest.raises(OpsError) as caught:
            connect(url, purpose="test")
        assert caught.value.reason is Reason.TARGET_UNAVAILABLE
        assert "127.0.0.1" in caught.value.message
        assert SECRET not in caught.value.message


def test_environment_variables_do_not_lead_elsewhere(target, monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    monkeypatch.setenv("PGAPPNAME", "someone")
    with closing(connect(target.url, purpose="test")) as connection:
        assert _one(connection, "SELECT current_database()") in target.url
    assert connection_parameters("postgresql://u@127.0.0.1/d")["port"] == "5432"


# --- poolers -------------------------------------------------------------------------------------------------------


class Pooler(threading.Thread):
    """A pooler in front of the real server, as far as a client can tell: it greets by itself, with a number of its own.

    `shared`: so many server sessions for all clients (transaction mode), 0: each client has its own. Of several, the
    one that was used last and is free is given out, or with `in_turn` the next one. Who is in a transaction keeps theirs.
    """

    def __init__(self, url: str, *, shared: int, in_turn: bool = False) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._backends: list[psycopg.Connection] = []
        self._one = threading.Lock()
        self._free = [self._backend() for _ in range(shared)]
        self._is_shared = shared > 0
        self._in_turn = in_turn
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        for number in range(1, 100):
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for backend in self._backends:
            backend.close()

    def _backend(self) -> psycopg.Connection:
        self._backends.append(psycopg.connect(self._url, autocommit=True))
        return self._backends[-1]

    def _serve(self, client: socket.socket, number: int) -> None:
        own = None if self._is_shared else self._backend()
        backend = own or self._backends[0]
        with client:
            code = 80877103
            while code in (80877103, 80877104):  # asks for TLS or GSS: no
                length, code = struct.unpack("!ii", _exactly(client, 8))
                if code in (80877103, 80877104):
                    client.sendall(b"N")
            _exactly(client, length - 8)
            client.sendall(_message(b"R", struct.pack("!i", 0)))
            for name in ("server_version", "client_encoding", "standard_conforming_strings"):
                value = backend.info.parameter_status(name) or ""
                client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
            client.sendall(_message(b"K", struct.pack("!ii", 900_000 + number, 1)) + _message(b"Z", b"I"))
            held = own
            while (said := self._until_sync(client)) is not None:
                with self._one:
                    held = held or self._free.pop(0 if self._in_turn else -1)
                    if self._pass_on(said, client, held) == b"I" and own is None:
                        self._free.append(held)
                        held = None

    def _pass_on(self, said: bytes, client: socket.socket, backend: psycopg.Connection) -> bytes:
        """The client's words to the server and its answer back; how the transaction stands then."""
        # libpq did the login; from here on, bytes are passed on.
        with socket.socket(fileno=os.dup(backend.pgconn.socket)) as server:
            server.setblocking(True)
            server.sendall(said)
            kind = message = b""
            while kind != b"Z":
                kind, message = _read(server)
                client.sendall(message)
        return message[-1:]

    def _until_sync(self, client: socket.socket) -> bytes | None:
        said = b""
        while True:
            try:
                kind, message = _read(client)
            except ConnectionError:
                return None
            if kind == b"X":
                return None
            said += message
            if kind in (b"Q", b"S"):
                return said


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read(stream: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(stream, 5)
    body = _exactly(stream, struct.unpack("!i", head[1:])[0] - 4)
    return head[:1], head + body


def _exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = stream.recv(count - len(found))
        if not more:
            raise ConnectionError
        found += more
    return found


@contextmanager
def _pooled(target: Target, *, shared: int, in_turn: bool = False) -> Iterator[str]:
    pooler = Pooler(target.url, shared=shared, in_turn=in_turn)
    try:
        port = psycopg.conninfo.conninfo_to_dict(target.url)["port"]
        yield target.url.replace(f":{port}/", f":{pooler.port}/")
    finally:
        pooler.close()


@pytest.mark.parametrize(
    ("shared", "in_turn"),
    [
        pytest.param(1, False, id="one session"),
        pytest.param(3, False, id="the last one used"),
        pytest.param(2, True, id="two in turn, which two clients in lockstep do not notice"),
        pytest.param(3, True, id="three in turn"),
    ],
)
def test_a_pooler_that_shares_sessions_is_refused_on_any_port(target, shared, in_turn):
    with (
        _pooled(target, shared=shared, in_turn=in_turn) as url,
        pytest.raises(OpsError, match="transaction mode") as caught,
    ):
        connect(url, purpose="test")
    assert caught.value.reason is Reason.TARGET_REFUSED


def test_a_pooler_with_a_session_for_each_client_will_do(target):
    with _pooled(target, shared=0) as url, closing(connect(url, purpose="test")) as connection:
        assert _one(connection, "SELECT 1") == 1
        assert _one(connection, "SELECT pg_backend_pid()") != connection.info.backend_pid
