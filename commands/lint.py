"""`lint FILES…`: what is dangerous in migration files, for a terminal, an editor or a CI job. Needs no configuration,
no log and no database; reads the files and changes nothing."""

import argparse
import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from commands.markdown import lint_markdown
from commands.page import Page
from commands.page_words import plural
from commands.plan_page import hazards_text
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.git import FILE_LIMIT_BYTES
from ops.hazards import Hazard
from ops.hazards import Level
from ops.hazards import find_hazards
from ops.hazards.finding import in_order
from ops.masking import printable
from ops.migrations import Migration
from ops.migrations import Refusal
from ops.migrations import read_folder
from ops.migrations import read_migration
from ops.repository import SNAPSHOT_LIMIT_BYTES

PATH_LETTERS = 300


@dataclass(frozen=True)
class Linted:
    """What was read, in the order in which it would run, and what was found. `paths` are for people, by file name."""

    migrations: tuple[Migration, ...]
    paths: Mapping[str, str]
    skipped: Mapping[str, str]
    hazards: tuple[Hazard, ...]

    @cached_property
    def path_of(self) -> Mapping[str, str]:
        """The file of each version, as it was named; of two with one version the first."""
        return {one.version: self.paths[one.filename] for one in reversed(self.migrations)}

    def refusals(self) -> Iterator[tuple[Migration, Refusal]]:
        """Why files cannot be run as they stand."""
        return ((migration, refusal) for migration in self.migrations for refusal in migration.refusals)

    def worst(self) -> Level | None:
        """The worst of all; a file that cannot be run counts as forbidden. None: nothing was found."""
        if any(migration.refusals for migration in self.migrations):
            return Level.FORBIDDEN
        return max((hazard.level for hazard in self.hazards), key=lambda level: level.rank, default=None)


def run_lint(arguments: argparse.Namespace) -> tuple[Reply, str]:
    """The answer, and the text for people. Raises OpsError(BAD_USAGE) for a file that is not there or not readable."""
    linted = lint([Path(one) for one in arguments.files], arguments.project_ref or "")
    if arguments.types:
        linted = _with_types(linted, Path(arguments.types))
    worst, fail_on = linted.worst(), Level(arguments.fail_on)
    fails = worst is not None and worst >= fail_on
    summary = _summary(linted, fail_on, fails)
    data = lint_json(linted)
    if fails:
        hint = "See `hazards` and `refusals` for the lines, and docs/hazards.md for the safe ways."
        data |= {"status": "failed", "reason": Reason.HAZARDS_FOUND.value, "message": summary, "hint": hint}
    markdown = lint_markdown(data, linted.hazards, summary) if arguments.markdown else ""
    if markdown:
        data["markdown"] = markdown
    reply = Reply(Page(summary), data, ok=not fails, exit_code=1 if fails else 0)
    return reply, markdown or "\n".join([*_lines(linted), summary]) + "\n"


def lint(paths: Sequence[Path], project_ref: str = "") -> Linted:
    """The migrations of these files and folders, taken together, and their hazards. Raises OpsError(BAD_USAGE)."""
    named: dict[str, Path] = {}
    contents: dict[str, bytes] = {}
    left = SNAPSHOT_LIMIT_BYTES
    for path, is_named in _files(paths):
        known = named.setdefault(path.name, path)
        if known != path:
            raise _unfit(path, f"has the same name as {_shown(known)}", "Lint the two apart.")
        if path.name not in contents:
            content = _read(path, is_named)
            left -= len(content or b"")
            if left < 0:
                raise _unfit(path, "makes it too much to be read at once", "Lint fewer files at a time.")
            if content is not None:
                contents[path.name] = content
    folder = read_folder(contents)
    skipped = {one.filename: one.why for one in folder.skipped}
    # SQL that is named one by one is meant, whatever it is called; what else a shell's * names is not.
    asked = {path.name for path in paths if path.suffix == ".sql"} & skipped.keys()
    drafts = [_draft(name, contents[name], skipped.pop(name)) for name in sorted(asked)]
    migrations = tuple(sorted([*folder.migrations, *drafts], key=lambda one: (one.version, one.filename)))
    if not migrations:
        raise _unfit(paths[0], "holds no migration", "Name files, a migrations folder, or a project's folder.")
    links = dict.fromkeys(named.keys() - contents.keys(), "it is a symbolic link")
    return Linted(
        migrations,
        {name: _shown(path) for name, path in named.items()},
        {**skipped, **links},
        find_hazards(migrations, project_ref=project_ref),
    )


def _with_types(linted: Linted, file: Path) -> Linted:
    """The same, with what the committed types do not know of these files."""
    from ops.hazards.types_stale import stale_types

    content = _read(file, is_named=True) or b""
    stale = stale_types(linted.migrations, content.decode(errors="replace"), _shown(file))
    return replace(linted, hazards=in_order([*linted.hazards, *stale]))


def _draft(name: str, content: bytes, why_skipped: str) -> Migration:
    """A file that a push would not take for a migration, read as one."""
    read = read_migration(name, Path(name).stem, "", content)
    return replace(read, notes=(f"a push would skip it: {why_skipped}", *read.notes))


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Every file once, and whether it was named itself. A project's folder stands for its supabase/migrations."""
    seen: set[Path] = set()
    for path in paths:
        is_folder = path.is_dir()
        for file in _files_of(_migrations_of(path)) if is_folder else [path]:
            if file not in seen:
                seen.add(file)
                yield file, not is_folder


def _migrations_of(folder: Path) -> Path:
    inside = (folder / "supabase" / "migrations", folder / "migrations")
    return next((each for each in inside if each.is_dir()), folder)


def _files_of(folder: Path) -> list[Path]:
    """What is directly in a folder, folders left out."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir(follow_symlinks=False))
    except OSError as error:
        raise _unfit(folder, f"cannot be read: {error.strerror}", "Look at its name and permissions.") from error
    return [folder / name for name in names]


def _read(path: Path, is_named: bool) -> bytes | None:
    """A regular file's bytes. A link is None in a folder, and an error where it was named: it may lead anywhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            if not is_named:
                return None
            raise _unfit(path, "is a symbolic link", "Name the file that it leads to.") from error
        raise _unfit(path, f"cannot be read: {error.strerror}", "Look at its name and permissions.") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unfit(path, "is no file", "Name SQL files or folders of them.")
        content = file.read(FILE_LIMIT_BYTES + 1)
    if len(content) > FILE_LIMIT_BYTES:
        raise _unfit(path, f"is larger than {FILE_LIMIT_BYTES // 2**20} MB", "A push would refuse it; split it.")
    return content


def _unfit(path: Path, why: str, hint: str) -> OpsError:
    return OpsError(Reason.BAD_USAGE, f"{_shown(path)} {why}.", hint)


def _shown(path: Path) -> str:
    return printable(str(path), PATH_LETTERS)


# --- telling


def lint_json(linted: Linted) -> dict[str, Any]:
    """What was found, as the contract prints it; `file` is the path as it was named."""
    return {
        "hazards": [{**one.to_json(), "file": linted.path_of[one.version]} for one in linted.hazards],
        "refusals": [
            {
                "code": refusal.code,
                "version": migration.version,
                "line": refusal.line,
                "message": refusal.message,
                "hint": refusal.hint,
                "file": linted.paths[migration.filename],
            }
            for migration, refusal in linted.refusals()
        ],
        "files": [
            {
                "file": linted.paths[one.filename],
                "version": one.version,
                "sha256": one.sha256,
                "notes": [printable(note, PATH_LETTERS) for note in one.notes],
            }
            for one in linted.migrations
        ],
        "skipped": {linted.paths[name]: why for name, why in linted.skipped.items()},
    }


def _lines(linted: Linted) -> Iterator[str]:
    """As compilers write, so that editors and CI find file and line: `path:line: level class/rule: message`."""
    by_version: dict[str, list[Hazard]] = defaultdict(list)
    for hazard in linted.hazards:
        by_version[hazard.version].append(hazard)
    for migration in linted.migrations:
        path = linted.paths[migration.filename]
        told = [(one.line, f"forbidden refusal/{one.code}: {one.message}", one.hint) for one in migration.refusals]
        told += [
            (one.line, f"{one.level.value} {one.hazard_class.value}/{one.rule}: {one.message}", one.safe_way)
            for one in by_version.pop(migration.version, [])
        ]
        for line, words, way in sorted(told, key=lambda each: each[0]):
            yield f"{path}:{line}: {words}"
            if way:
                yield f"    safe way: {way}"
        yield from (f"{path}: note: {printable(note, PATH_LETTERS)}" for note in migration.notes)
    yield from (f"{linted.paths[name]}: skipped: {why}" for name, why in sorted(linted.skipped.items()))


def _summary(linted: Linted, fail_on: Level, fails: bool) -> str:
    """One line: how much was looked at, what was found, and whether it is too much."""
    hazards = [one.to_json() for one in linted.hazards]
    refused = sum(1 for _ in linted.refusals())
    found = [hazards_text(hazards)] if hazards else []
    found += [f"{plural(refused, 'reason')} why it cannot be run"] if refused else []
    told = f"{plural(len(linted.migrations), 'migration')}: {', '.join(found) or 'nothing found'}"
    if not found:
        return f"{told}."
    limit = "forbidden" if fail_on is Level.FORBIDDEN else f"{fail_on.value} or worse"
    return f"{told}. {'Something' if fails else 'Nothing'} of it is {limit}."
