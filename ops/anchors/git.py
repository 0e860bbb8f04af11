"""A git repository: each checkpoint is the message of an annotated tag, `countersign/<log>/<size>`, pushed there.

The remote should refuse to move or delete tags (a protected tag or a hook): then not even our own key can take one back.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import clean_environment
from ops.git import one_at_a_time
from ops.git import run_git
from ops.git import safe_words
from ops.masking import mask

TIMEOUT_SECONDS = 60.0
_ME = {
    "GIT_AUTHOR_NAME": "Countersign",
    "GIT_AUTHOR_EMAIL": "countersign@localhost",
    "GIT_COMMITTER_NAME": "Countersign",
    "GIT_COMMITTER_EMAIL": "countersign@localhost",
}


@dataclass(frozen=True)
class GitAnchor:
    """`folder` is a bare repository of ours, made where it is missing, in which the tags are made before they are pushed."""

    url: str
    folder: Path

    @property
    def where(self) -> str:
        return f"git:{mask(self.url)}"

    def publish(self, note: str, size: int, at: str) -> str:
        log_id = note.split("\n", 1)[0].rpartition("/")[2]
        tag = f"countersign/{log_id[:16]}/{size}"
        with one_at_a_time(self.folder.with_name(f"{self.folder.name}.lock"), TIMEOUT_SECONDS):
            if not (self.folder / "HEAD").exists():
                self._git("init", "--quiet", "--bare", str(self.folder), size=size)
            # the empty tree: the tag is about the log, and points at nothing of anybody's
            tree = self._git("hash-object", "-t", "tree", "-w", "--stdin", size=size)
            commit = self._git(
                "commit-tree", tree, "-m", "Checkpoints of an audit log", size=size, at="2000-01-01T00:00:00Z"
            )
            self._git(
                "tag",
                "--annotate",
                "--force",
                "--cleanup=verbatim",
                "--file=-",
                tag,
                commit,
                size=size,
                stdin=note,
                at=at,
            )
            # no force: a tag that is there with other words stays, and is told
            self._git("push", "--quiet", "--end-of-options", self.url, f"refs/tags/{tag}:refs/tags/{tag}", size=size)
        return tag

    def _git(self, *arguments: str, size: int, stdin: str = "", at: str = "") -> str:
        dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at} if at else {}
        protocols = {"GIT_ALLOW_PROTOCOL": "file:https:ssh"}
        environment = clean_environment({**_ME, **dates, **protocols}, operators=True)
        code, out, words = run_git(
            self.folder, arguments, environment=environment, timeout_seconds=TIMEOUT_SECONDS, stdin=stdin.encode()
        )
        if code:
            raise OpsError(
                Reason.ANCHOR_FAILED,
                f"The checkpoint at {size} events cannot be pushed to {self.where}: {safe_words(words)}",
                "Look at the repository, and whether this login may push tags there.",
                exit_code=1,
            )
        return os.fsdecode(out).strip()
