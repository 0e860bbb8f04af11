"""A copy of a target, on which its migrations run before anybody is asked: made for one rehearsal, and gone with it."""

import contextlib
import os
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import psycopg
from psycopg import sql

from ops.catalog import catalog_hash
from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.isolation import Isolation
from ops.isolation import demand_isolation
from ops.masking import printable
from ops.rehearsal.copy_database import make_database
from ops.rehearsal.differences import why_not_exact
from ops.rehearsal.dump_cache import Dump
from ops.rehearsal.dump_cache import dump_schema
from ops.rehearsal.dump_cache import private_folder
from ops.rehearsal.extensions import choose_tools
from ops.rehearsal.extensions import may_create_in
from ops.rehearsal.extensions import real_extensions
from ops.rehearsal.extensions import schemas_of
from ops.rehearsal.extensions import share_files
from ops.rehearsal.extensions import shipped_files
from ops.rehearsal.memory import place_for_rows
from ops.rehearsal.memory import place_for_schema
from ops.rehearsal.platform import Platform
from ops.rehearsal.platform import lent_rights
from ops.rehearsal.restoring import Refused
from ops.rehearsal.roles import make_roles
from ops.rehearsal.target_state import Target
from ops.rehearsal.target_state import read_kind
from ops.rehearsal.target_state import read_target
from ops.rehearsal.with_data import scratch_limits
from ops.scratch import Limits
from ops.scratch import Scratch
from ops.scratch_removal import reap_scratches
from ops.tools import connection_files
from ops.tools import run_tool

COPY_LIMITS = Limits(seconds=1800.0, statement_seconds=900.0, memory_bytes=4 * 2**30, disk_bytes=20 * 2**30)
"""What a copy without rows may use. Memory counts per server process."""

Progress = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass
class Copy:
    """The copy as a session of the migrating role finds it on the target; it ends with its `with`.

    `notes` are sentences about what a rehearsal on it cannot prove. `stand_ins` are extensions of which only the outside
    is there. `is_exact`: the schema has the target's hash, else `inexact_because` says why not.
    """

    scratch: Scratch
    target: Target
    isolation: Isolation
    url: str = field(repr=False)
    superuser_url: str = field(repr=False)
    stand_ins: tuple[str, ...]
    notes: tuple[str, ...]
    refused: tuple[Refused, ...]
    is_exact: bool = False
    inexact_because: str = ""

    @property
    def server(self) -> str:
        """The copy's server: "PostgreSQL 18.4"."""
        with contextlib.closing(self.ask()) as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version') or ''}".split(" (")[0]

    @property
    def target_server(self) -> str:
        return self.target.server

    def connect(self) -> Connection:
        """A session in autocommit of the role that migrates, found as on the target. Never a superuser."""
        return connect(self.url, purpose="rehearsal")

    def ask(self) -> Connection:
        """A session in autocommit of the copy's superuser, for questions to the catalog and settings of ours.

        No foreign text, and no foreign view, table or function, may be named in it: they would run as the superuser.
        """
        connection = psycopg.connect(self.superuser_url, autocommit=True, prepare_threshold=None)
        row = connection.execute(
            "SELECT r.rolsuper AND current_user = session_user AND pg_catalog.current_setting('search_path') IN ('', '\"\"')"
            " FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user"
        ).fetchone()
        if row is None or not row[0]:
            connection.close()
            raise OpsError(Reason.UNEXPECTED, "The copy's settings were bent by what ran on it.", exit_code=1)
        return connection

    def dump(self, path: Path) -> None:
        """The copy's schema as an archive of pg_dump, mode 0600. Raises OpsError UNEXPECTED."""
        tools, uid = self.scratch.tools, self.scratch.uid
        inside = self.scratch.work / "dump"
        with connection_files(self.superuser_url, owner=uid) as files:
            finished = run_tool(
                tools,
                "pg_dump",
                ["--format=custom", "--schema-only", "--encoding=UTF8", "--no-password", f"--file={inside}"],
                connection=files,
                uid=uid,
                timeout_seconds=600.0,
            )
        if finished.exit_code != 0:
            said = finished.stderr.strip().splitlines() or ["it said nothing"]
            raise OpsError(Reason.UNEXPECTED, f"The copy could not be dumped: {said[-1][:300]}", exit_code=1)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        source = os.open(inside, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb") as file, os.fdopen(source, "rb") as written:
            shutil.copyfileobj(written, file)
        inside.unlink()

    def offer_extension(self, name: str) -> None:
        """See that a stand-in of this name can be created where the copy has nothing better."""
        tools = self.scratch.tools
        if name in real_extensions(tools):
            return
        if name not in self._offered():
            files = shipped_files(name)
            if not files or not share_files(tools, {}):
                raise OpsError(
                    Reason.TOOLS_MISSING,
                    f"The extension {name} is not on the copy's server, {tools.name}.",
                    "Install that server's extension, or a PostgreSQL 18 for copies.",
                )
            self.scratch.add_extension_files(files)
        self._stands_in(name)

    def create_extension(self, name: str, schema: str | None = None, cascade: bool = False) -> None:
        """Create it in a session of its own: the real one by the superuser, a stand-in as the role that migrates.

        Raises OpsError TOOLS_MISSING where there is none, psycopg.Error as the server says it.
        """
        self.offer_extension(name)
        is_real = name in real_extensions(self.scratch.tools)
        place = schema or (self._first_schema() if is_real else None)
        statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {}{}{}").format(
            sql.Identifier(name),
            sql.SQL(" SCHEMA {}").format(sql.Identifier(place)) if place else sql.SQL(""),
            sql.SQL(" CASCADE" if cascade or is_real else ""),
        )
        with contextlib.ExitStack() as stack:
            ours = stack.enter_context(contextlib.closing(self.ask()))
            if is_real:
                theirs = ours
            else:
                theirs = stack.enter_context(contextlib.closing(self.connect()))
                stack.enter_context(
                    may_create_in(ours, self.target.acting, {*schemas_of(name), *filter(None, [place])})
                )
            # The caller's own transaction may hold what this waits for.
            theirs.execute("SET lock_timeout = '2s'; SET statement_timeout = '60s'")
            theirs.execute(statement)

    @property
    def platform(self) -> Platform:
        """What the target's platform lets the migrating role do that the copy would refuse."""
        return self.target.platform

    @contextlib.contextmanager
    def lend_rights(self, table: tuple[str, str]) -> Iterator[None]:
        """The migrating role may do meanwhile what the owner of this table may, as on the platform. Raises psycopg.Error."""
        with contextlib.closing(self.ask()) as ours, lent_rights(ours, table, self.target.acting) as owner:
            yield
        words = f"{printable('.'.join(table))} is {printable(owner)}'s: what the plan does there was done with the"
        words += " owner's rights, as Supabase does it."
        if not self.platform.is_told:
            words += " The target did not say whether it does."
        if words not in self.notes:
            self.notes = (*self.notes, words)

    def _offered(self) -> frozenset[str]:
        folder = self.scratch.work / "share" / "extension"
        return frozenset(path.stem for path in folder.glob("*.control"))

    def _stands_in(self, name: str) -> None:
        self.stand_ins = tuple(sorted({*self.stand_ins, name}))

    def _first_schema(self) -> str:
        with contextlib.closing(self.connect()) as connection:
            row = connection.execute("SELECT pg_catalog.current_schema()").fetchone()
        return str(row[0]) if row and row[0] else "public"


@contextlib.contextmanager
def open_copy(
    database_url: str,
    *,
    tools_bin: str = "",
    with_data: bool = False,
    data_folder: Path | None = None,
    cache: Path | None = None,
    limits: Limits | None = None,
    demand: str = "none",
    progress: Progress = lambda _: None,
    stop: Stop = lambda: False,
) -> Iterator[Copy]:
    """A copy of the target's schema (and with `with_data` its rows) in a scratch cluster of its own.

    `cache` is a private folder for dumps; `data_folder` one that lies on encrypted storage, default the memory.
    `demand` is the isolation without which nothing is begun. Reads the target, changes nothing there. Raises OpsError:
    NOT_ALLOWED for the isolation, TOOLS_MISSING, TARGET_…, LOCK_TIMEOUT, STOPPED, and UNEXPECTED out of the `with` when
    a limit ended the cluster.
    """
    with _opened(database_url, tools_bin, with_data, data_folder, cache, limits, demand, progress, stop) as opened:
        rows_from = database_url if with_data else None
        copy = opened.make(rows_from=rows_from, progress=progress, stop=stop)
        progress("comparing the copy with the target")
        with contextlib.closing(copy.connect()) as connection:
            copy.is_exact = catalog_hash(connection) == opened.target.catalog_sha256
            if not copy.is_exact:
                copy.inexact_because = why_not_exact(opened.session, connection, opened.target, copy.refused)
        opened.session.close()
        yield copy


@contextlib.contextmanager
def open_empty(
    database_url: str,
    *,
    tools_bin: str = "",
    cache: Path | None = None,
    limits: Limits | None = None,
    demand: str = "none",
    progress: Progress = lambda _: None,
    stop: Stop = lambda: False,
) -> Iterator[Copy]:
    """As `open_copy`, without anything of the project's own: platform schemas, roles and extensions only.

    The history table is there and empty. `is_exact` is False: nothing says how the target once began.
    """
    with _opened(database_url, tools_bin, False, None, cache, limits, demand, progress, stop) as opened:
        opened.session.close()
        yield opened.make(only_platform=True, progress=progress, stop=stop)


@dataclass(frozen=True)
class _Opened:
    """A cluster with the target's roles, and the definitions; `session` is still open on the target."""

    scratch: Scratch
    target: Target
    dump: Dump
    isolation: Isolation
    session: Connection
    notes: tuple[str, ...]

    def make(
        self, *, only_platform: bool = False, rows_from: str | None = None, progress: Progress, stop: Stop
    ) -> Copy:
        made = make_database(
            self.scratch,
            self.target,
            self.dump,
            only_platform=only_platform,
            rows_from=rows_from,
            progress=progress,
            stop=stop,
        )
        missing = {one.name for one in self.target.extensions} - real_extensions(self.scratch.tools)
        notes = self.notes
        if self.target.is_superuser:
            words = "a superuser on the target and not on the copy: an error about permissions proves nothing."
            notes = (*notes, f"{self.target.acting} is {words}")
        return Copy(
            scratch=self.scratch,
            target=self.target,
            isolation=self.isolation,
            url=self.scratch.url(made.database, role=self.target.login),
            superuser_url=self.scratch.superuser_url(made.database),
            stand_ins=tuple(sorted(missing)),
            notes=(*notes, *made.notes),
            refused=made.refused,
        )


@contextlib.contextmanager
def _opened(
    database_url: str,
    tools_bin: str,
    with_data: bool,
    data_folder: Path | None,
    cache: Path | None,
    limits: Limits | None,
    demand: str,
    progress: Progress,
    stop: Stop,
) -> Iterator[_Opened]:
    isolation = demand_isolation(demand)
    cache = private_folder(cache)
    progress("reading the target")
    # What killed ones left goes first: it takes the room that this one is about to look for.
    reap_scratches()
    if data_folder is not None:
        reap_scratches(data_folder)
    with contextlib.closing(connect(database_url, purpose="rehearsal")) as session:
        session.execute(_READING)
        kind = read_kind(session)
        tools = choose_tools(kind.version, kind.extensions, tools_bin)
        offered = share_files(tools, {})
        if with_data:
            wanted = limits or scratch_limits(kind.database_bytes)
            folder: Path | None
            folder, reached = place_for_rows(kind.database_bytes, data_folder, wanted)
        else:
            folder, reached = place_for_schema(limits or COPY_LIMITS)
        scratch = Scratch(
            tools,
            extension_files=offered,
            only_those=True,
            is_bare=True,
            folder=folder,
            template=cache / "clusters" if cache else None,
            limits=reached,
        )
        with contextlib.ExitStack() as stack:
            with ThreadPoolExecutor(1) as pool:
                starting = pool.submit(stack.enter_context, scratch)
                try:
                    target = read_target(session)
                    dump = dump_schema(session, target, database_url, tools=tools, cache=cache, stop=stop)
                finally:
                    starting.result()
            missing = {one.name for one in target.extensions} - real_extensions(tools)
            if offered:
                scratch.add_extension_files(
                    {name: text for one in missing for name, text in dump.stand_ins.get(one, {}).items()}
                )
            with contextlib.closing(psycopg.connect(scratch.superuser_url("template1"), autocommit=True)) as superuser:
                notes = make_roles(superuser, target)
                scratch.let_in(superuser, target.login)
            yield _Opened(scratch, target, dump, isolation, session, notes)


_READING = "SET search_path = ''; SET default_transaction_read_only = on; SET statement_timeout = '120s'"
