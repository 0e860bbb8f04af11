"""Reading what may hold signed checkpoints: files, URLs, the tags of a git repository."""

import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import clean_environment
from ops.git import run_git
from ops.git import safe_words

MOST_BYTES = 256 * 2**20
TIMEOUT_SECONDS = 60.0


def texts_of(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The text of each place, with its name. Raises OpsError(BAD_USAGE) for one that cannot be read."""
    for place in places:
        if place.startswith("git:"):
            yield place, _tags(place.removeprefix("git:"))
        elif place.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            yield place, _page(place)
        else:
            yield place, _file(Path(place).expanduser())


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(str(path), error.strerror or str(error)) from error
    return _text(str(path), found)


def _page(url: str) -> str:
    import httpx

    found = b""
    try:
        with httpx.stream("GET", url, timeout=TIMEOUT_SECONDS, follow_redirects=False) as answer:
            if answer.status_code != 200:
                raise _unreadable(url, f"it answered {answer.status_code}")
            for part in answer.iter_bytes():
                found += part
                if len(found) > MOST_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreadable(url, type(error).__name__) from error
    return _text(url, found)


def _tags(repository: str) -> str:
    """The messages of all our tags there."""
    environment = clean_environment({"GIT_ALLOW_PROTOCOL": "file:https:ssh"}, operators=True)
    with tempfile.TemporaryDirectory(prefix="countersign-anchors-") as name:
        folder = Path(name)

        def git(*arguments: str) -> bytes:
            code, out, words = run_git(folder, arguments, environment=environment, timeout_seconds=TIMEOUT_SECONDS)
            if code:
                raise _unreadable(f"git:{repository}", safe_words(words))
            return out

        git("init", "--quiet", "--bare", str(folder))
        tags = "refs/tags/countersign/*:refs/tags/countersign/*"
        git("fetch", "--quiet", "--no-tags", "--end-of-options", repository, tags)
        return _text(repository, git("for-each-ref", "--format=%(contents)", "refs/tags/countersign"))


def _text(place: str, found: bytes) -> str:
    if len(found) > MOST_BYTES:
        raise _unreadable(place, f"it is larger than {MOST_BYTES // 2**20} MB")
    return found.decode(errors="replace")


def _unreadable(place: str, why: str) -> OpsError:
    return OpsError(
        Reason.BAD_USAGE, f"The anchors at {place} cannot be read: {why}.", "Name a file, a URL, or git:REPOSITORY."
    )
