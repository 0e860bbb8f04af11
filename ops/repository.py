"""A project's git repository: mirrored without a work tree, and read at an exact commit.

The mirror is fetched, never cloned: a local clone links objects as they are, a fetch hashes each one again. Git reads
its operator's own configuration (credential helpers, SSH keys, proxies, `.netrc`) only for remotes; for a local path
and for reading the mirror it reads none, so that a local repository may belong to somebody else: this very path, and
no other, is trusted for that one process, which runs no hook, filter or command of it.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import ASKED_AT_ONCE
from ops.git import FILE_LIMIT_BYTES
from ops.git import Objects
from ops.git import clean_environment
from ops.git import one_at_a_time
from ops.git import printable
from ops.git import read_tree
from ops.git import run_git
from ops.git import safe_words
from ops.git_folder import FILES
from ops.git_folder import TREE
from ops.git_folder import files_in
from ops.git_folder import odd_entry
from ops.git_names import SHA
from ops.git_names import check_ref
from ops.git_names import checked_folder
from ops.git_names import checked_sha
from ops.git_names import checked_url
from ops.git_tree import CommitFiles

SNAPSHOT_LIMIT_BYTES = 64 * 2**20
_SHORT_SHA = re.compile(r"[0-9a-f]{7,40}")
_PERSON = re.compile(rb"(?P<name>[^<>]*)<(?P<email>[^<>]*)> ?(?P<seconds>-?\d{1,12})?.*", re.DOTALL)
_WEB_FLOW = "noreply@github.com"
"""The committer of what is merged or edited on GitHub's pages: nobody, so it makes nobody an author."""
_CO_AUTHOR = re.compile(r"^co-authored-by:\s*(?P<name>[^<>\n]*)<(?P<email>[^<>\n]+)>", re.IGNORECASE | re.MULTILINE)
_HEADS = "refs/heads/"
FOLDERS = ("migrations", "rollbacks")
"""What is read of the supabase folder: the migrations, and the scripts that take them back."""
_LISTED: dict[tuple[str, str], Mapping[str, str]] = {}
"""What trees hold, by folder and git's name of the tree, which says it all: the same is not taken apart twice."""

_MOST_LISTED = 16


@dataclass(frozen=True, order=True)
class Author:
    """A person as a commit names them: anybody can write anything here. `email` may be empty."""

    name: str
    email: str


@dataclass(frozen=True)
class Commit:
    """One commit: 40 hex digits, the first line of its message, and when and by whom (as it says itself)."""

    sha: str
    title: str
    authored_at: datetime
    author: Author
    committer: Author


@dataclass(frozen=True)
class Snapshot:
    """What a commit holds of the supabase folder: `migrations/…`, `rollbacks/…` (no sub-folders) and `config.toml`, if there.

    `tree_sha` names the whole folder's content: equal for commits that differ only elsewhere.
    """

    commit: Commit
    files: Mapping[str, bytes]
    tree_sha: str


@dataclass(frozen=True)
class Listing:
    """What a commit has of the supabase folder, unread: git's name (blob) of each file of a `Snapshot`."""

    commit: Commit
    blobs: Mapping[str, str]
    tree_sha: str


@dataclass(frozen=True)
class _RawCommit:
    """A commit with what only this module needs: its tree, and everybody it names."""

    commit: Commit
    tree_sha: str
    people: tuple[Author, ...]


class Repository:
    """One repository behind a URL: `https://…`, `ssh://…`, `git@host:path`, an absolute path or `file:///path`.

    `cache` is a folder of ours (made 0700) that holds the mirror. Safe to use from threads and processes at once.
    """

    def __init__(self, url: str, cache: Path, *, supabase: str = "supabase", timeout_seconds: float = 120) -> None:
        self._access = checked_url(url)
        self.url = url
        self.supabase = checked_folder(supabase)
        self.timeout_seconds = timeout_seconds
        self._cache = cache.absolute()
        self.mirror = self._cache / (hashlib.sha256(url.encode()).hexdigest()[:32] + ".git")

    def update(self) -> None:
        """Bring the mirror up to the repository as it is now: all branches and tags, moved and deleted ones too.

        Raises OpsError(REPOSITORY_UNAVAILABLE) with git's words. What was fetched once stays in the mirror.
        """
        with one_at_a_time(self.mirror.with_suffix(".lock"), self.timeout_seconds):
            if not (self.mirror / "HEAD").exists():
                self._git("init", "--quiet", "--bare", "--template=", "--initial-branch=main")
                self.mirror.chmod(0o700)
            self._remove_stale_locks()
            code, _, stderr = run_git(
                self.mirror,
                [
                    *("fetch", "--quiet", "--no-progress", "--prune", "--no-tags", "--force"),
                    *("--no-write-fetch-head", "--no-recurse-submodules", "--end-of-options", self.url),
                    *("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"),
                ],
                environment=self._fetching(),
                timeout_seconds=self.timeout_seconds,
            )
        if b"because shallow roots" in stderr:  # git skips such branches, keeps what it had, and exits 0
            raise OpsError(
                Reason.REPOSITORY_UNAVAILABLE,
                "The repository is a shallow clone: it lacks the history that names the authors.",
                "Run `git fetch --unshallow` in it, or name the repository that it was cloned from.",
            )
        if code != 0:
            raise OpsError(
                Reason.REPOSITORY_UNAVAILABLE,
                f"The repository cannot be fetched. git says: {safe_words(stderr) or f'exit code {code}'}",
                "Try `git ls-remote` with the same URL as the user that runs Countersign.",
                exit_code=1,
            )

    def resolve(self, branch: str, ref: str | None = None) -> str:
        """The commit at the head of the branch, or the one that `ref` names, if the branch contains it.

        `ref` is a tag, a branch, or a commit's name of 7 to 40 hex digits. Reads the mirror only. Raises OpsError:
        BAD_USAGE for what cannot be a name, REPOSITORY_REFUSED for a missing branch, COMMIT_NOT_ON_BRANCH.
        """
        check_ref(branch)
        if ref is not None:
            check_ref(ref)
        head = next(iter(self._commits([_HEADS + branch])), None)
        if head is None:
            raise self._no_branch(branch)
        if ref is None:
            return head

        found = self._named(ref)
        if len(found) > 1:
            raise OpsError(
                Reason.COMMIT_NOT_ON_BRANCH,
                f"{ref} means several commits: {', '.join(sorted(sha[:12] for sha in found))}.",
                "Say the commit's whole name, 40 hex digits.",
                exit_code=3,
            )
        if not found or not self.is_before(next(iter(found)), head):
            raise OpsError(
                Reason.COMMIT_NOT_ON_BRANCH,
                f"{ref} is not a commit of the branch {branch}, whose head is {head[:12]}.",
                f"Merge it into {branch} first, or leave it out to take the head.",
                exit_code=3,
            )
        return found.pop()

    def snapshot(self, commit: str) -> Snapshot:
        """The migrations and config.toml as they are in this commit.

        A missing migrations folder gives none. Raises OpsError: REPOSITORY_REFUSED, naming the path, for links,
        submodules, names that cannot be shown, files that are too large, and a missing supabase folder;
        REPOSITORY_UNAVAILABLE when the mirror does not hold the commit.
        """
        listing = self.listing(commit)
        return Snapshot(listing.commit, MappingProxyType(self.read(listing.blobs)), listing.tree_sha)

    def listing(self, commit: str) -> Listing:
        """The names alone of what `snapshot` gives, which raises as this does. Files are not looked into."""
        with self._objects() as objects:
            raw = _read_commit(objects, checked_sha(commit))
            tree_sha = self._folder(objects, raw)
            if (known := _LISTED.get((self.supabase, tree_sha))) is not None:
                return Listing(raw.commit, known, tree_sha)
            entries = read_tree(objects, tree_sha, self.supabase or "the root folder")
            wanted = {"config.toml": entries[b"config.toml"]} if b"config.toml" in entries else {}
            for folder in FOLDERS:
                if folder.encode() in entries:
                    wanted |= files_in(objects, entries[folder.encode()], folder, self._path(folder))
            for path, (mode, _) in wanted.items():
                if mode not in FILES:
                    raise odd_entry(self._path(path), mode)
        blobs = MappingProxyType({path: sha for path, (_, sha) in wanted.items()})
        if len(_LISTED) >= _MOST_LISTED:
            _LISTED.clear()
        _LISTED[self.supabase, tree_sha] = blobs
        return Listing(raw.commit, blobs, tree_sha)

    @contextmanager
    def files_at(self, commit: str) -> Iterator[CommitFiles]:
        """All files of a commit, to be read while this lasts. Raises OpsError as `snapshot` does."""
        with self._objects() as objects:
            yield CommitFiles(objects, _read_commit(objects, checked_sha(commit)).tree_sha)

    def read(self, blobs: Mapping[str, str]) -> dict[str, bytes]:
        """The content of these files of a listing. Raises OpsError as `snapshot` does."""
        files: dict[str, bytes] = {}
        left_bytes = SNAPSHOT_LIMIT_BYTES
        with self._objects() as objects:
            for number, (path, sha) in enumerate(blobs.items()):
                if number % ASKED_AT_ONCE == 0:
                    objects.ask(list(islice(blobs.values(), number, number + ASKED_AT_ONCE)))
                limit_bytes = min(FILE_LIMIT_BYTES, left_bytes)
                files[path] = objects.read(sha, "blob", what=self._path(path), limit_bytes=limit_bytes)
                left_bytes -= len(files[path])
        return files

    def authors(self, commit: str, since: str | None, paths: Iterable[str]) -> tuple[Author, ...]:
        """Everybody who is named by the commits that changed these paths (as in `Snapshot.files`), sorted.

        That is authors, committers and co-authors, in `commit` and its ancestors but not in `since` and its own; a
        `since` that the mirror does not hold is left out, which can only add people. Who merely merged a branch
        is not among them; who changed a file while merging is.
        """
        wanted = [os.path.normpath(self._path(path)) for path in paths]
        if not wanted:
            return ()
        if any("\n" in path for path in wanted):
            raise OpsError(Reason.REPOSITORY_REFUSED, "The name of a migration has a line break in it.")
        starts = [checked_sha(commit), *([f"^{since}"] if since and self.has_commit(since) else [])]
        # Full history: the default walk skips a side branch whose change was also made elsewhere, and its people.
        # -c: a merge is followed by names of files only where it differs from all of its parents.
        listed = self._git(
            *("log", "--full-history", "-c", "--name-only", "--no-renames", "--no-ext-diff", "--no-color"),
            *("--format=%x01%H", "--stdin"),
            stdin="\n".join([*starts, "--", *wanted, ""]).encode(),
        ).decode()
        shas = [lines[0] for lines in map(str.split, listed.split("\x01")) if len(lines) > 1]
        with self._objects() as objects:
            return tuple(sorted({person for sha in shas for person in _read_commit(objects, sha).people}))

    def has_commit(self, commit: str) -> bool:
        """Does the mirror hold this commit (40 hex digits), on whatever branch it is or was?"""
        return bool(SHA.fullmatch(commit)) and self._commits([commit]) == [commit]

    # reading the mirror

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        environment = clean_environment({"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"})
        code, stdout, stderr = run_git(
            self.mirror, arguments, environment=environment, timeout_seconds=self.timeout_seconds, stdin=stdin
        )
        if code != 0:
            raise OpsError(
                Reason.REPOSITORY_UNAVAILABLE,
                f"The mirror of the repository cannot be read. git says: {safe_words(stderr)}",
                "Update it and try again.",
                exit_code=1,
            )
        return stdout

    def _objects(self) -> Objects:
        return Objects(self.mirror, timeout_seconds=self.timeout_seconds)

    def _commits(self, names: Iterable[str]) -> list[str]:
        """The commits behind those of these full names that are commits, or tags of commits, in their order."""
        asked = "".join(f"{name}^{{commit}}\n" for name in names).encode()
        lines = self._git("cat-file", "--batch-check=%(objectname)", stdin=asked).decode(errors="replace")
        return [line for line in lines.splitlines() if SHA.fullmatch(line)]

    def _named(self, ref: str) -> set[str]:
        """Every commit that this name could mean: a whole commit's name means only itself."""
        names = [ref] if SHA.fullmatch(ref) else [f"refs/tags/{ref}", _HEADS + ref]
        if _SHORT_SHA.fullmatch(ref) and ref not in names:
            names += self._git("rev-parse", f"--disambiguate={ref}").decode().split()
        return set(self._commits(names))

    def is_before(self, commit: str, head: str) -> bool:
        """Is the commit the head, or before it?"""
        return commit == head or self._git("rev-list", "-1", commit, f"^{head}") == b""

    def _no_branch(self, branch: str) -> OpsError:
        heads = self._git("for-each-ref", "--count=10", "--format=%(refname)", _HEADS).decode(errors="replace")
        names = [printable(line.removeprefix(_HEADS), 60) for line in heads.splitlines()]
        there = f"It has: {', '.join(names)}." if names else "It has no branch yet: push a first commit."
        return OpsError(Reason.REPOSITORY_REFUSED, f"The repository has no branch {branch}.", there)

    def _folder(self, objects: Objects, raw: _RawCommit) -> str:
        """The tree of the supabase folder."""
        sha, walked = raw.tree_sha, ""
        for part in self.supabase.split("/") if self.supabase else ():
            entry = read_tree(objects, sha, walked or "the root folder").get(part.encode())
            walked = f"{walked}/{part}".lstrip("/")
            if entry is None:
                raise OpsError(
                    Reason.REPOSITORY_REFUSED,
                    f"The commit {raw.commit.sha[:12]} has no folder {walked}.",
                    'Say where it is: `supabase = "…"` of the project, a path inside the repository.',
                )
            if entry[0] != TREE:
                raise odd_entry(walked, entry[0])
            sha = entry[1]
        return sha

    def _path(self, path: str) -> str:
        return f"{self.supabase}/{path}" if self.supabase else path

    # fetching

    def _fetching(self) -> dict[str, str]:
        if self._access == "file":
            return clean_environment(
                {
                    "GIT_CONFIG_NOSYSTEM": "1",
                    "GIT_CONFIG_GLOBAL": str(self._trusted_path()),
                    "GIT_ALLOW_PROTOCOL": "file",
                }
            )
        return clean_environment({"GIT_ALLOW_PROTOCOL": "https:ssh"}, operators=True)

    def _trusted_path(self) -> Path:
        """A git configuration that names this local repository as safe, whoever owns it. git passes no `-c` to the
        process that it starts at the other end, so it must be a file."""
        path = self.url.removeprefix("file://")
        places = sorted({form + end for form in (path, os.path.realpath(path)) for end in ("", "/.git")})
        quoted = [place.replace("\\", "\\\\").replace('"', '\\"') for place in places]
        content = "[safe]\n" + "".join(f'\tdirectory = "{place}"\n' for place in quoted)
        config = self.mirror.with_suffix(".gitconfig")
        config.write_text(content)
        return config

    def _remove_stale_locks(self) -> None:
        """A fetch that was killed leaves git's own lock files, and no fetch after it would work. Ours is held now."""
        for stale in (*self.mirror.glob("*.lock"), *(self.mirror / "refs").rglob("*.lock")):
            stale.unlink(missing_ok=True)


def _read_commit(objects: Objects, sha: str) -> _RawCommit:
    content = objects.read(sha, "commit", what="the commit", limit_bytes=FILE_LIMIT_BYTES)
    head, _, body = content.partition(b"\n\n")
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        headers.setdefault(key, value)  # the first one counts; continued lines start with a space: key b""
    author, authored_at = _person(headers.get(b"author", b""))
    committer, _ = _person(headers.get(b"committer", b""))
    message = body.decode(errors="replace").strip()
    tree_sha = headers.get(b"tree", b"").decode(errors="replace")
    if author is None or committer is None or authored_at is None or not SHA.fullmatch(tree_sha):
        raise OpsError(
            Reason.REPOSITORY_REFUSED,
            f"The commit {sha[:12]} is malformed: its tree, author, committer or date cannot be read.",
            "Plan a later commit, or mend the history.",
        )
    by_hand = {author} if committer.email.lower() == _WEB_FLOW else {author, committer}
    people = {*by_hand, *(_author(*match.groups()) for match in _CO_AUTHOR.finditer(message))}
    title = printable(message.partition("\n")[0], 200)
    return _RawCommit(Commit(sha, title, authored_at, author, committer), tree_sha, tuple(people))


def _person(line: bytes) -> tuple[Author | None, datetime | None]:
    """`Ana <ana@acme.example> 1767225600 +0100`; None for what cannot be read."""
    match = _PERSON.fullmatch(line)
    if match is None:
        return None, None
    person = _author(match["name"].decode(errors="replace"), match["email"].decode(errors="replace"))
    try:
        return person, datetime.fromtimestamp(int(match["seconds"] or "x"), UTC)
    except (ValueError, OverflowError, OSError):
        return person, None


def _author(name: str, email: str) -> Author:
    return Author(printable(name, 100), printable(email, 200))
