"""Scratch clusters: a throw-away Postgres for SQL that nobody trusts yet, and the removal of what killed ones left."""

import contextlib
import dataclasses
import json
import os
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from types import TracebackType
from typing import Any
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ops.errors import OpsError
from ops.errors import Reason
from ops.isolation import PLAIN_ENVIRONMENT
from ops.isolation import account_uid
from ops.isolation import as_user
from ops.isolation import confined
from ops.isolation import unused_uid
from ops.scratch_removal import PREFIX
from ops.scratch_removal import end_postmaster
from ops.scratch_removal import process_started
from ops.scratch_removal import remove_folders
from ops.scratch_template import Superuser
from ops.scratch_template import copy_template
from ops.scratch_template import keep_template
from ops.tools import SCRATCH_VERSION
from ops.tools import Tools
from ops.tools import end_group
from ops.tools import reachable_programs

FOREIGN_ROLE = "postgres"
"""The one login that foreign SQL gets: named as on Supabase, and not a superuser there either."""

_START_SECONDS = 30.0
_NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Limits:
    """What a scratch cluster may use before it is ended. Memory counts per server process."""

    seconds: float = 3600.0
    statement_seconds: float = 900.0
    memory_bytes: int = 4 * 2**30
    disk_bytes: int = 100 * 2**30


class Scratch:
    """A throw-away cluster, version 16 or newer, reached only through a unix socket, by password.

    Use it in a `with`. Foreign SQL connects by `url()` as the role `postgres`, which is no superuser, may become every
    one of `roles` (made without login) and reaches neither server files nor programs. `extension_files` are stand-ins,
    file name to text; `only_those`: no other extension can be made, of the server's own neither (version 18 or newer).
    `is_bare`: no role is made at all; whoever makes them lets them in. `folder` holds the cluster's folder; default the
    system's temporary folder. `template` is a folder for an empty cluster to begin with, made when it is not there.
    Raises OpsError TOOLS_MISSING when no server starts, and UNEXPECTED out of the `with` when a limit ended it.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        roles: Collection[str] = (),
        extension_files: Mapping[str, str] = _NO_FILES,
        only_those: bool = False,
        is_bare: bool = False,
        folder: Path | None = None,
        template: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        if tools.version < SCRATCH_VERSION:
            raise OpsError(
                Reason.TOOLS_MISSING, f"A scratch cluster needs PostgreSQL 16 or newer, not {tools.version}."
            )
        self.tools = self._original = tools
        self.limits = limits or Limits()
        self.ended_because = ""
        self._roles = tuple(role for role in roles if role != FOREIGN_ROLE and not role.startswith("pg_"))
        self._extension_files = extension_files
        self._only_those = only_those
        self._is_bare = is_bare
        self._template = template
        self._parent = folder or Path(tempfile.gettempdir())
        self._superuser = f"countersign_{secrets.token_hex(8)}"
        self._passwords = {self._superuser: secrets.token_urlsafe(24)}
        self._leaving = threading.Event()
        self.uid: int | None = None
        """The user id of the cluster's processes; None: that of this process."""

    def __enter__(self) -> Self:
        self._parent.mkdir(parents=True, exist_ok=True)
        self.uid = unused_uid() if os.geteuid() == 0 else None
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent)).resolve()
        try:
            self._lay_out()
            self._make_cluster()
            self._started = time.monotonic()
            self._server = self._launch()
            self._wait_until_ready()
            if self._template:
                self._change_password()
            if not self._is_bare:
                self._make_roles()
        except BaseException:
            self._remove()
            raise
        self._watchdog = threading.Thread(target=self._watch, name="scratch-watchdog", daemon=True)
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._watchdog.join()
        self._remove()
        if self.ended_because:
            raise OpsError(Reason.UNEXPECTED, self.ended_because, exit_code=1) from error

    def url(self, database: str = FOREIGN_ROLE, *, role: str = FOREIGN_ROLE) -> str:
        """The address for foreign SQL. It holds a password, good for this cluster only."""
        return self._url(role, database)

    def superuser_url(self, database: str = FOREIGN_ROLE) -> str:
        """The address for our own questions and settings; no SQL of a repository or a dump ever gets it.

        Settings that foreign SQL gave its database have no say in such a session, and its event triggers do not run.
        """
        settings = {**_OURS, "statement_timeout": f"{self.limits.statement_seconds * 1000:.0f}"}
        if self.tools.version >= 17:
            settings |= {"event_triggers": "off", "transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return make_conninfo(self._url(self._superuser, database), options=options)

    def let_in(self, superuser: "psycopg.Connection[Any]", role: str) -> None:
        """Let a role that is there log in, by a password of its own that no statement shows."""
        password = secrets.token_urlsafe(24)
        hashed = superuser.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        superuser.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed)))
        self._passwords[role] = password

    def add_extension_files(self, files: Mapping[str, str]) -> None:
        """More extensions to choose from, file name to text. Only where the server began with some."""
        folder = self.work / "share" / "extension"
        for name, text in files.items():
            # The folder is the server's, so a link in it would lead our own rights somewhere else.
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                if self.uid is not None:
                    os.fchown(descriptor, self.uid, self.uid)

    def create_database(self, name: str, *, encoding: str = "UTF8") -> None:
        """An empty database, owned by the foreign role."""
        # Another encoding than UTF8 goes with the C locale only.
        locale = sql.SQL("") if encoding == "UTF8" else sql.SQL("LOCALE_PROVIDER libc LOCALE 'C'")
        with psycopg.connect(self.superuser_url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} {}").format(
                    sql.Identifier(name), sql.Identifier(FOREIGN_ROLE), sql.Literal(encoding), locale
                )
            )

    def disk_bytes(self) -> int:
        """What the cluster takes on disk now."""
        total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                with contextlib.suppress(OSError):  # files come and go while we look
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
        return total

    def _url(self, role: str, database: str) -> str:
        return make_conninfo(
            host=str(self._socket), port=5432, user=role, dbname=database, password=self._passwords[role]
        )

    def _lay_out(self) -> None:
        """The folder of this cluster, with a note of whose it is, before anything else can leave a trace."""
        self._note_owner()
        self.data, self.work = self.root / "data", self.root / "work"
        self._socket = self.work
        for folder in (self.data, self.work):
            folder.mkdir(mode=0o700)
        for name, text in self._extension_files.items():
            path = self.work / "share" / "extension" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if len(os.fsencode(self._socket)) > 80:  # a socket's path may have 107 bytes
            self._socket = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
            self._note_owner()
        if self.uid is None:
            return
        # Only this cluster's group may pass the outer folder; inside, everything is 0700.
        os.chown(self.root, 0, self.uid)
        self.root.chmod(0o710)
        for folder in (self.work, self._socket):
            _give(folder, self.uid)
        programs = reachable_programs(self.tools.bin, self.uid, self.root / "programs")
        self.tools = dataclasses.replace(self.tools, bin=programs)

    def _note_owner(self) -> None:
        note = {
            "pid": os.getpid(),
            "started": process_started(os.getpid()),
            "socket": str(getattr(self, "_socket", "")),
        }
        path = self.root / "owner"
        path.touch(mode=0o600)
        path.write_text(json.dumps(note))

    def _make_cluster(self) -> None:
        found = self._template and copy_template(self._template, self._original, self.data)
        if found:
            self._superuser = found.name
            self._passwords = {found.name: found.password}
        else:
            self._run_initdb()
            if self._template:
                kept = Superuser(self._superuser, self._passwords[self._superuser])
                keep_template(self._template, self._original, self.data, kept)
        if self.uid is not None:
            _give(self.data, self.uid)

    def _run_initdb(self) -> None:
        password = self.root / "superuser"
        password.write_text(self._passwords[self._superuser])
        password.chmod(0o640)
        account = None
        if self.uid is not None:
            # initdb insists on an account with a name, so it runs as one inside our group; then the files change hands.
            account = account_uid()
            os.chown(password, 0, self.uid)
            os.chown(self.data, account, self.uid)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.tools.version >= 17 else []
        command = [
            *(self.tools.program("initdb"), "-D", str(self.data), "--username", self._superuser),
            *("--pwfile", str(password), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            *locale,
        ]
        finished = subprocess.run(
            as_user(command, uid=account, gid=self.uid),
            check=False,
            env=PLAIN_ENVIRONMENT,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
        password.unlink()
        if finished.returncode != 0:
            raise OpsError(
                Reason.TOOLS_MISSING,
                f"A scratch cluster could not be made with {self.tools.name}: {_last_line(finished.stderr)}",
            )

    def _launch(self) -> "subprocess.Popen[bytes]":
        settings = _SETTINGS | {
            "unix_socket_directories": str(self._socket),
            "statement_timeout": f"{self.limits.statement_seconds * 1000:.0f}",
            "temp_file_limit": f"{self.limits.disk_bytes // 1024}",
        }
        if self._extension_files:
            settings["extension_control_path"] = f"{'' if self._only_those else '$system:'}{self.work / 'share'}"
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self.tools.program("postgres"), "-D", str(self.data), *options]
        walled = confined(command, uid=self.uid, gid=self.uid, memory_bytes=self.limits.memory_bytes)
        log_path = self.root / "log"
        log_path.touch(mode=0o600)
        with log_path.open("wb") as log:
            return subprocess.Popen(
                walled,
                env=PLAIN_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self._url(self._superuser, "template1"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    said = _last_line((self.root / "log").read_text(errors="replace"))
                    raise OpsError(
                        Reason.TOOLS_MISSING, f"A scratch cluster of {self.tools.name} does not start: {said}"
                    ) from None
            time.sleep(0.03)

    def _change_password(self) -> None:
        """No two clusters from one template have the same."""
        with psycopg.connect(self._url(self._superuser, "template1"), autocommit=True) as connection:
            self.let_in(connection, self._superuser)

    def _make_roles(self) -> None:
        foreign = sql.Identifier(FOREIGN_ROLE)
        with psycopg.connect(self._url(self._superuser, "template1"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS").format(foreign)
            )
            self.let_in(connection, FOREIGN_ROLE)
            connection.execute(sql.SQL("ALTER DATABASE postgres OWNER TO {}").format(foreign))
            for name in self._roles:
                role = sql.Identifier(name)
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
                connection.execute(
                    sql.SQL("GRANT {} TO {} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE").format(role, foreign)
                )

    def _watch(self) -> None:
        while not self._leaving.wait(1.0):
            if time.monotonic() - self._started > self.limits.seconds:
                self.ended_because = (
                    f"The scratch database was ended after {self.limits.seconds:.0f} seconds, its limit."
                )
            elif self.disk_bytes() > self.limits.disk_bytes:
                self.ended_because = (
                    f"The scratch database was ended at {self.limits.disk_bytes:,} bytes on disk, its limit."
                )
            if self.ended_because:
                end_postmaster(self.data)
                return

    def _remove(self) -> None:
        end_postmaster(getattr(self, "data", self.root))
        if hasattr(self, "_server"):
            end_group(self._server)
        remove_folders(self.root)


_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "20",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "128MB",
    "max_locks_per_transaction": "256",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "1GB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "restart_after_crash": "off",
    "logging_collector": "off",
    "lc_messages": "C",
    "timezone": "UTC",
    # Shared memory as files of the cluster, so that it goes when they go.
    "dynamic_shared_memory_type": "mmap",
}


# What anybody may set for a database and what would end our own sessions or change what they see.
_OURS = {
    "search_path": "",
    "role": "none",
    "client_encoding": "UTF8",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": r"read\ committed",
    "default_transaction_deferrable": "off",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
}


def _give(folder: Path, uid: int) -> None:
    os.chown(folder, uid, uid)
    for inside, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(os.path.join(inside, name), uid, uid)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
