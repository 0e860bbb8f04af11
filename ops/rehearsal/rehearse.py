"""A rehearsal from its beginning to its end: the copy, what it was like before, the files, what it is like after."""

import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from ops.access_state import changes as access_changes
from ops.access_state import read_access
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import ensure_history
from ops.migration import Migration
from ops.plan import Plan
from ops.progress import Told
from ops.rehearsal.copy import COPY_LIMITS
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_copy
from ops.rehearsal.covering import covering
from ops.rehearsal.files import extensions_of
from ops.rehearsal.files import run_files
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import without_excess
from ops.rehearsal.sizes import TargetFacts
from ops.rehearsal.sizes import read_target
from ops.rehearsal.sizes import touched
from ops.rehearsal.sizes import unavailable_extensions
from ops.rehearsal.sizes import with_sizes
from ops.rehearsal.trace import Tracer
from ops.rehearsal.unseen import Circumstances
from ops.rehearsal.unseen import unseen
from ops.schema.archive import read_archive
from ops.schema.comparing import compare
from ops.schema.model import Schema
from ops.schema.reading import with_left_out
from ops.scratch import Limits
from ops.targets import Target

LIMITS = replace(COPY_LIMITS, seconds=900.0, statement_seconds=300.0)
"""Without rows nothing that is to be run on a target takes long."""
LIMITS_WITH_DATA = replace(LIMITS, seconds=3600.0, statement_seconds=900.0)
"""Of time alone: how large a copy with rows may be depends on how many there are."""


def rehearse(
    target: Target,
    plan: Plan,
    *,
    tools_bin: str = "",
    cache: Path | None = None,
    with_data: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    limits: Limits | None = None,
) -> Rehearsal:
    """Run the plan's files on a copy of the target, and tell all that it showed. The target is only read.

    A file that fails, or a limit that ends it, is a rehearsal that FAILED; what the rehearsal itself lacks (tools, a
    connection, room) makes it IMPOSSIBLE, with what the files did until then. The report is whole, to be judged; for
    the log and for people it is to be `bounded`. Raises OpsError(STOPPED) when `stop` says so, nothing else.
    """
    folder = target.all_settings.postgres.encrypted_folder
    return rehearse_files(
        target.database_url,
        plan.pending,
        tools_bin=tools_bin,
        cache=cache,
        with_data=with_data,
        data_folder=target.all_settings.path(Path(folder)) if folder else None,
        progress=progress,
        stop=stop,
        limits=limits,
    )


def rehearse_files(
    database_url: Callable[[], str],
    pending: Sequence[Migration],
    *,
    tools_bin: str = "",
    cache: Path | None = None,
    with_data: bool = False,
    data_folder: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    limits: Limits | None = None,
) -> Rehearsal:
    """The same for these files and the database whose URL is asked for when it is needed."""
    found = _Rehearsing(database_url, pending, with_data, progress, stop, limits)
    try:
        return without_excess(found.run(tools_bin, cache, data_folder))
    except OpsError as error:
        if error.reason is Reason.STOPPED:
            raise
        return without_excess(found.ended(error))
    except psycopg.Error as error:  # its own text may quote what a file has put there
        said = f"The copy could not be looked at (SQLSTATE {error.sqlstate or 'unknown'})."
        return without_excess(found.ended(OpsError(Reason.CONNECTION_LOST, said)))


@dataclass(frozen=True)
class _State:
    """What the copy is like at one moment."""

    schema: Schema
    access: frozenset[Any]


@dataclass
class _Rehearsing:
    """What is known so far."""

    database_url: Callable[[], str]
    pending: Sequence[Migration]
    with_data: bool
    progress: Callable[[str], None]
    stop: Callable[[], bool]
    wanted_limits: Limits | None
    seconds: dict[str, float] = field(default_factory=dict)
    copied: Rehearsal | None = None
    """The copy's own part of the report, once there is a copy."""
    files: tuple[FileFacts, ...] = ()
    notes: tuple[str, ...] = ()
    """What the copy says of itself that a rehearsal on it cannot prove."""

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self.limits = self.wanted_limits or (LIMITS_WITH_DATA if self.with_data else LIMITS)

    def run(self, tools_bin: str, cache: Path | None, data_folder: Path | None) -> Rehearsal:
        self._tell("copying the schema and the rows" if self.with_data else "copying the schema", 0.0)
        copying = time.monotonic()
        with open_copy(
            self.database_url(),
            tools_bin=tools_bin,
            with_data=self.with_data,
            data_folder=data_folder,
            cache=cache,
            # What a copy with rows needs, only the copy can say.
            limits=None if self.with_data and self.wanted_limits is None else _beyond(self.limits),
            progress=self._tell,
            stop=self.stop,
        ) as copy:
            self.seconds["copy"] = round(time.monotonic() - copying, 3)
            self.copied, self.notes = self._about(copy), copy.notes
            return self._on(copy)

    def ended(self, error: OpsError) -> Rehearsal:
        """The rehearsal came to an end by itself: a file's doing if one was at work, else there was none."""
        begun = replace(self.copied or Rehearsal(Outcome.IMPOSSIBLE, with_data=self.with_data), **self._times())
        if not any(one.outcome == "failed" for one in self.files):
            return replace(begun, because=f"{error.message} {error.hint}".strip(), files=self.files)
        files = self.files
        if error.reason is Reason.UNEXPECTED:  # a limit ended the cluster, which the file's session only saw as a loss
            files = tuple(
                replace(one, error={**one.error, "message": error.message}) if one.error else one for one in files
            )
        return self._failed(begun, files)

    def _ran(self, files: tuple[FileFacts, ...]) -> None:
        self.files = files

    def _failed(self, begun: Rehearsal, files: tuple[FileFacts, ...]) -> Rehearsal:
        because = _first_error(files)
        return replace(begun, outcome=Outcome.FAILED, because=because, unseen=self.notes, files=files, **self._times())

    def _on(self, copy: Copy) -> Rehearsal:
        with closing(copy.connect()) as connection:
            ensure_history(connection)
        with self._phase("before", "reading the schema"):
            before = self._state(copy)
        cover = covering(self.pending, before.schema) if self.with_data else None
        with closing(copy.ask()) as ask:
            tracer = Tracer(ask)
            has_api = ask.execute(_HAS_API).fetchone() is not None
            with self._phase("files"):
                self.files = run_files(
                    copy,
                    tracer,
                    self.pending,
                    limits=self.limits,
                    refused_extensions=unavailable_extensions(self.database_url(), extensions_of(self.pending)),
                    covering=cover,
                    progress=self.progress,
                    stop=self.stop,
                    told=self._ran,
                )
            self.copied = replace(self.copied or self._about(copy), stand_ins=tuple(copy.stand_ins))
            self.notes = copy.notes
            if any(one.outcome == "failed" for one in self.files):
                return self._failed(self.copied, self.files)
            tracer.remove()
        with self._phase("after", "comparing the schema"), ThreadPoolExecutor(1, "target") as beside:
            asked = beside.submit(read_target, self.database_url(), touched(self.files))
            after = self._state(copy)
            if cover is not None:
                after = replace(after, schema=cover.schema(after.schema))
            told = asked.result()
        with self._phase("comparing"):
            found = self._passed(self.copied, before, after, told, has_api)
        return replace(found, **self._times())

    def _passed(self, about: Rehearsal, before: _State, after: _State, told: TargetFacts, has_api: bool) -> Rehearsal:
        files = with_sizes(self.files, told.sizes)
        difference = compare(before.schema, after.schema)
        is_served = has_api and bool(difference.changes)  # where nothing changes, the API reads nothing anew
        circumstances = Circumstances(
            self.with_data, about.server, about.target_server, about.stand_ins, is_served, told
        )
        opened, mended = access_changes(before.access, after.access)
        return replace(
            about,
            outcome=Outcome.PASSED,
            unseen=(*unseen(self.pending, files, circumstances), *self.notes),
            files=files,
            access_opened=opened,
            access_mended=mended,
            changes=difference.changes,
            diff_text=difference.text,
        )

    def _about(self, copy: Copy) -> Rehearsal:
        return Rehearsal(
            outcome=Outcome.IMPOSSIBLE,
            server=copy.server,
            target_server=copy.target_server,
            isolation=copy.isolation.level,
            with_data=self.with_data,
            is_exact=copy.is_exact,
            inexact_because=copy.inexact_because,
            stand_ins=tuple(copy.stand_ins),
        )

    def _state(self, copy: Copy) -> _State:
        """The dump is a program of its own, so that access can be read meanwhile."""
        with (
            tempfile.TemporaryDirectory(prefix="countersign-rehearsal-") as folder,
            ThreadPoolExecutor(1, "dump") as beside,
            closing(copy.ask()) as ask,
        ):
            archive = Path(folder, "schema.dump")
            dumped = beside.submit(copy.dump, archive)
            access = read_access(ask)
            dumped.result()
            return _State(with_left_out(read_archive(archive), ask), access)

    @contextmanager
    def _phase(self, name: str, words: str = "") -> Iterator[None]:
        if self.stop():
            raise OpsError(Reason.STOPPED, "The rehearsal was stopped.", "Nothing has touched the target.")
        if words:
            self._tell(words)
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began, 3)

    def _tell(self, words: str, share: float | None = None) -> None:
        self.progress(Told(f"rehearsal: {words}", step="rehearsal", share=share))

    def _times(self) -> Mapping[str, Any]:
        return {"seconds": round(time.monotonic() - self._began, 3), "phases": dict(self.seconds)}


def _beyond(limits: Limits) -> Limits:
    """For the cluster: the rehearsal's own limits come first, since they can say which statement it was."""
    return replace(limits, seconds=limits.seconds + 60, statement_seconds=limits.statement_seconds + 30)


def _first_error(files: tuple[FileFacts, ...]) -> str:
    """The failed file's error in a sentence: `…_x.sql, line 3: column "a" does not exist (SQLSTATE 42703).`"""
    for one in files:
        if one.error is not None:
            line = f", line {one.error['line']}" if one.error["line"] else ""
            state = f" (SQLSTATE {one.error['sqlstate']})" if one.error["sqlstate"] else ""
            return f"{one.filename}{line}: {str(one.error['message']).rstrip('.')}{state}."
    return ""


_HAS_API = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'authenticator'"
