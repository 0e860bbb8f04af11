"""Connections to a target: encrypted or local, direct or session-pooled, named after their purpose."""

import ipaddress
from collections.abc import Callable
from typing import Any
from typing import LiteralString

import psycopg
from psycopg import errors
from psycopg import generators
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from ops.errors import OpsError
from ops.errors import Reason

Connection = psycopg.Connection[tuple[Any, ...]]

TRANSACTION_POOLER_PORT = "6543"
"""Supavisor's port for transaction mode: SET and advisory locks would end up in other people's sessions."""

_APPLICATION_NAME_BYTES = 63
# The order is by strength: what is weaker than `require` may be read or changed on the way.
_SAFE_SSL_MODES = ("require", "verify-ca", "verify-full")
_NAMED_IN_URL = {"host": "a server", "dbname": "a database", "user": "a user"}


def connect(database_url: str, *, purpose: str, connect_timeout_seconds: int = 10) -> Connection:
    """A session in autocommit, listed as `countersign <purpose>`, which acts as the role the CLI would use.

    The server is asked again by keep-alives, so that a dead network is noticed within about half a minute. Raises
    OpsError: BAD_CONFIG for a URL that is not one, TARGET_REFUSED for one that we will not use (plain text over a
    network, a pooler in transaction mode), TARGET_UNAVAILABLE when no session comes about. None holds the password.
    """
    try:
        return _connect(database_url, purpose, connect_timeout_seconds)
    except OpsError as error:
        other_url = _with_new_login(database_url, error)
        if other_url is None:
            raise
    return _connect(other_url, purpose, connect_timeout_seconds)


def _with_new_login(database_url: str, error: OpsError) -> str | None:
    """Where a temporary login is refused: the same place with a new one."""
    if "://cli_login_" not in database_url or "authentication failed" not in error.message:
        return None
    from ops.supabase.login import login_in_place_of  # few targets have such logins, and their API is more to load

    return login_in_place_of(database_url)


def _connect(database_url: str, purpose: str, connect_timeout_seconds: int) -> Connection:
    parameters = connection_parameters(database_url)
    parameters["application_name"] = _application_name(purpose)
    parameters["connect_timeout"] = str(connect_timeout_seconds)
    connection = _open(parameters)
    try:
        if _is_pooled(connection):
            _refuse_shared_sessions(connection, parameters)
        use_migration_role(connection)
    except psycopg.Error as error:
        was_lost = is_lost(connection)
        connection.close()
        if was_lost:
            raise _unreachable(parameters, error) from None
        raise OpsError(
            Reason.TARGET_REFUSED,
            f"{place(parameters)} let us in but not to work: {_without_secrets(str(error), parameters)}",
            "Check the role of the database URL.",
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def connection_parameters(database_url: str) -> dict[str, str]:
    """What libpq is told, complete, so that no PG… variable of the environment changes where it leads or how.

    Raises OpsError as `connect` does, without having opened anything.
    """
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(database_url).items() if value is not None}
    except psycopg.ProgrammingError:
        # libpq's message quotes the part that it does not understand, which may be the password.
        raise OpsError(
            Reason.BAD_CONFIG,
            "The database URL is not a Postgres connection URL.",
            "It looks like postgresql://user:password@host:5432/database; special characters are percent-encoded.",
        ) from None
    missing = [words for key, words in _NAMED_IN_URL.items() if not given.get(key)]
    if missing or "service" in given:
        raise OpsError(
            Reason.BAD_CONFIG,
            f"The database URL does not name {' and '.join(missing) or 'its parts itself but a service file'}.",
            "It looks like postgresql://user:password@host:5432/database; for a socket, add ?host=/folder.",
        )
    if "," in given["host"] + given.get("hostaddr", "") + given.get("port", ""):
        raise OpsError(
            Reason.TARGET_REFUSED,
            "The database URL names more than one server; a target is exactly one.",
            "Name the primary alone.",
        )
    given.setdefault("port", "5432")
    if given["port"] == TRANSACTION_POOLER_PORT:
        raise _shared_sessions(given)
    return {**given, **_encryption(given), **_KEPT_ALIVE}


_KEPT_ALIVE = {
    "client_encoding": "utf8",  # history rows are compared byte for byte
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def _encryption(given: dict[str, str]) -> dict[str, str]:
    wanted = given.get("sslmode", "")
    if is_local(given.get("hostaddr") or given["host"]):
        return {"sslmode": wanted or "prefer"}
    if wanted == "disable":
        raise OpsError(
            Reason.TARGET_REFUSED,
            f"The database URL says sslmode=disable, but {given['host']} is not this machine.",
            "Leave sslmode away (then encryption is required), or say sslmode=verify-full.",
        )
    # GSS encryption would satisfy nobody who reads `sslmode` in the URL, so there is one kind only.
    return {"sslmode": wanted if wanted in _SAFE_SSL_MODES else "require", "gssencmode": "disable"}


def is_local(host: str) -> bool:
    """Whether this is a unix socket or the loopback interface, so that nothing passes over a network."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def place(parameters: dict[str, str]) -> str:
    """Server, port and database as people read them; no user, no password."""
    return f"{parameters.get('host', '')}:{parameters.get('port', '')}/{parameters.get('dbname', '')}"


def use_migration_role(connection: Connection) -> None:
    """Act as `postgres` where the login is one that the Supabase CLI changes too, so that owners are the same.

    To be called again after a statement that resets the role. Other logins stay what they are.
    """
    if _changes_role(connection.info.user):
        connection.execute("SET SESSION ROLE postgres")


def restore_role(connection: Connection) -> None:
    """Back to the role that the session began with, whatever the SQL in between made of it."""
    connection.execute("RESET SESSION AUTHORIZATION")
    connection.execute("RESET ROLE")
    use_migration_role(connection)


NOTICES_A_DEAD_CLIENT = """
    SELECT pg_catalog.set_config('tcp_keepalives_idle', '10', false),
           pg_catalog.set_config('tcp_keepalives_interval', '5', false),
           pg_catalog.set_config('tcp_keepalives_count', '3', false),
           pg_catalog.set_config('tcp_user_timeout', '30s', false),
           pg_catalog.set_config(%s, %s, false)
"""
"""For a session that holds a lock, with one setting more: a client whose machine or network is gone says no goodbye, and
the server would keep its session, and its locks, for the two hours that TCP allows. So it is gone in half a minute."""


def target_failed(target: str, error: psycopg.Error) -> OpsError:
    """A target that refused or dropped us while no statement of a file was on its way. Its own text may quote rows."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return OpsError(
            Reason.LOCK_TIMEOUT,
            f"{target} could not be read: somebody holds a lock on one of its tables.",
            "Wait until they are done, then try again.",
            exit_code=5,
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return OpsError(
            Reason.TARGET_REFUSED,
            f"{target} does not let our login do what is needed there (SQLSTATE {error.sqlstate}).",
            "See what the role of its database URL may do, and give it what is missing.",
            exit_code=1,
        )
    return OpsError(
        Reason.CONNECTION_LOST,
        f"{target} refused or dropped the connection (SQLSTATE {error.sqlstate or 'unknown'}).",
        "See whether the target is up.",
        exit_code=1,
    )


def nothing() -> None:
    """What is done meanwhile where there is nothing to do."""


def sent(connection: Connection, text: bytes, meanwhile: Callable[[], None] = nothing) -> list[PGresult]:
    """Send a message as it is and return the server's answers, an error of the server's as the last of them.

    `meanwhile` is called when it has been sent. What a cursor does besides takes longer than a short answer. Raises
    psycopg.Error when the connection ends.
    """
    with connection.lock:
        connection.pgconn.send_query(text)
        connection.pgconn.flush()
        meanwhile()
        return connection.wait(generators.execute(connection.pgconn))


def refused(result: PGresult) -> psycopg.Error | None:
    """The error that an answer is, if it is one."""
    if result.status != ExecStatus.FATAL_ERROR:
        return None
    return errors.error_from_result(result, encoding="utf-8")


def is_lost(connection: Connection) -> bool:
    """Whether the session is gone, so that its last error does not tell what became of the statement."""
    return connection.closed or connection.broken


def _changes_role(login: str) -> bool:
    name = login.split(".", maxsplit=1)[0]  # a pooler's logins are `role.project`
    return name == "supabase_admin" or name.startswith("cli_login_")


def _application_name(purpose: str) -> str:
    name = f"countersign {purpose}".encode("ascii", "replace")
    return name[:_APPLICATION_NAME_BYTES].decode("ascii")


def _open(parameters: dict[str, str]) -> Connection:
    try:
        # prepare_threshold=None: nothing of ours stays behind in a pooled session.
        return psycopg.connect(**parameters, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise _unreachable(parameters, error) from None


def _unreachable(parameters: dict[str, str], error: psycopg.Error) -> OpsError:
    return OpsError(
        Reason.TARGET_UNAVAILABLE,
        f"No connection to {place(parameters)}: {_without_secrets(str(error), parameters)}",
        "Check that the database runs, that this machine may reach it, and the user and password of the URL.",
    )


def _without_secrets(text: str, parameters: dict[str, str]) -> str:
    for key in ("password", "sslpassword"):
        if parameters.get(key):
            text = text.replace(parameters[key], "«masked»")
    return " ".join(text.split())


_PID: LiteralString = "SELECT pg_catalog.pg_backend_pid()"


def _is_pooled(connection: Connection) -> bool:
    """A pooler hands out process ids of its own, since a cancel request has to come to it first."""
    return _number(connection, _PID) != connection.info.backend_pid


def _refuse_shared_sessions(connection: Connection, parameters: dict[str, str]) -> None:
    """Refuse a pooler that gives one server session to two clients: a second client asks beside the first."""
    beside = _open(parameters)
    try:
        mine = _number(connection, _PID)
        # Twice in a row: a pooler that deals its sessions out in turn could give each client the same one every time.
        if _number(connection, _PID) != mine:
            raise _shared_sessions(parameters)
        for _ in range(3):
            theirs = _number(beside, _PID)
            if theirs == mine or _number(connection, _PID) != mine:
                raise _shared_sessions(parameters)
        # While another client is in a transaction, the session that it has is not to be had: mine must not change.
        beside.execute("BEGIN")
        if _number(beside, _PID) == mine or _number(connection, _PID) != mine:
            raise _shared_sessions(parameters)
    finally:
        beside.close()


def _number(connection: Connection, query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _shared_sessions(parameters: dict[str, str]) -> OpsError:
    return OpsError(
        Reason.TARGET_REFUSED,
        f"{place(parameters)} is a pooler in transaction mode: locks and settings would reach other people's sessions.",
        "Use the direct connection, or the pooler in session mode (Supabase: the same host, port 5432).",
    )
