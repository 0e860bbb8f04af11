"""How targets stand at this moment, as far as they say so within a short time: what of their branch is not there yet, which
functions are behind, which secrets are missing, whether they are well. Nobody waits for what does not answer."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.migration import FILE_NAME
from ops.repository import Repository
from ops.supabase.client import ManagementApi
from ops.supabase.client import api_for
from ops.supabase.client import unmanaged_because
from ops.targets import Target

if TYPE_CHECKING:
    from ops.supabase.function_standing import Standing

logger = logging.getLogger("countersign.glance")

SECONDS = 1.5
"""So long all of it may take."""

AT_ONCE = 16

TOO_SLOW = f"no answer within {SECONDS:g} s"


@dataclass(frozen=True)
class Behind:
    """What of a branch is not on a target: its head as it was fetched last, and the versions of files, oldest first."""

    commit: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """The secrets that functions read and the project lacks; for those in `optional` each function has a default."""

    needed: tuple[str, ...]
    optional: tuple[str, ...]


@dataclass(frozen=True)
class Functions:
    """The functions of a project, by name: those that a push of the branch would change, those that the branch does not
    have, and what else is to be said of one (see `Standing`)."""

    behind: tuple[str, ...]
    not_on_branch: tuple[str, ...]
    standing: "Mapping[str, Standing]"


@dataclass
class Glance:
    """What was seen of one target, by what was looked at; `because` says of the rest why it is not known.

    `pending` is a `Behind`, `functions` a `Functions`, `secrets` a `Missing`, `health` a tuple
    of `Checked`. What is looked at is in one of the two.
    """

    found: dict[str, Any] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)


Look = Callable[[], Any]


def glance(ops: Ops, targets: Sequence[Target], seconds: float = SECONDS) -> Mapping[str, Glance]:
    """A look at each of these targets, all at once, over after `seconds` at the latest. Raises nothing for what fails."""
    ends = time.monotonic() + seconds
    seen = {target.name: Glance() for target in targets}
    waiting: queue.SimpleQueue[tuple[str, str, Look]] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[str, str, Any]] = queue.SimpleQueue()
    count = 0
    for target in targets:
        for what, look in _looks(ops, target).items():
            waiting.put((target.name, what, look))
            seen[target.name].because[what] = TOO_SLOW
            count += 1
    for number in range(min(AT_ONCE, count)):
        # Their own threads, and no pool: a process that ends does not wait for what hangs.
        threading.Thread(target=_work, args=(waiting, answers, ends), name=f"glance-{number}", daemon=True).start()
    for _ in range(count):
        try:
            name, what, answer = answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, OpsError):
            seen[name].because[what] = answer.message
        else:
            del seen[name].because[what]
            seen[name].found[what] = answer
    return seen


def _work(
    waiting: "queue.SimpleQueue[tuple[str, str, Look]]", answers: "queue.SimpleQueue[tuple[str, str, Any]]", ends: float
) -> None:
    while time.monotonic() < ends:
        try:
            name, what, look = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            answers.put((name, what, look()))
        except OpsError as error:
            answers.put((name, what, error))
        except Exception:
            logger.exception("glance_failed_unexpectedly target=%s what=%s", name, what)
            answers.put((name, what, OpsError(Reason.UNEXPECTED, "Something went wrong that nobody foresaw.")))


def _looks(ops: Ops, target: Target) -> dict[str, Look]:
    looks: dict[str, Look] = {"pending": partial(_pending, ops, target)}
    if any(
        (target.settings.health, target.settings.tables, target.settings.exposed_schemas, target.settings.project_ref)
    ):
        looks["health"] = partial(_health, target)
    if not unmanaged_because(target):
        looks["secrets"] = partial(_secrets, ops, target)
        if target.settings.functions == "on":
            looks["functions"] = partial(_functions, ops, target)
    return looks


def _head(ops: Ops, target: Target) -> tuple[Repository, str]:
    """The repository, and the head of the branch as it was fetched last: to fetch it may take longer than anybody waits."""
    repository = ops.repository(target)
    if not (repository.mirror / "HEAD").exists():
        message = "The repository was not fetched yet."
        raise OpsError(Reason.REPOSITORY_UNAVAILABLE, message, f"`plan {target.environment}` does.")
    return repository, repository.resolve(target.settings.branch)


def _pending(ops: Ops, target: Target) -> Behind:
    from ops.target_reading import applied_versions  # with the driver, which loads while others ask

    repository, head = _head(ops, target)
    names = (path.partition("/") for path in repository.listing(head).blobs)
    files = [found[1] for folder, _, name in names if folder == "migrations" and (found := FILE_NAME.fullmatch(name))]
    there = applied_versions(target)
    return Behind(head, tuple(sorted(version for version in files if version not in there)))


def _functions(ops: Ops, target: Target) -> Functions:
    from ops.supabase.function_changes import Change
    from ops.supabase.function_plan import function_changes
    from ops.supabase.function_standing import standing_of

    repository, head = _head(ops, target)
    with closing(_api(target)) as api:
        changes = function_changes(target, repository, head, api)
    return Functions(
        tuple(one.slug for one in changes if one.acts),
        tuple(one.slug for one in changes if one.change in {Change.LEFT, Change.REMOVED}),
        standing_of(ops.view, target, changes),
    )


def _secrets(ops: Ops, target: Target) -> Missing:
    from ops.supabase.secrets import missing_secrets
    from ops.supabase.secrets import reads_at

    repository, head = _head(ops, target)
    with closing(_api(target)) as api:
        missing = missing_secrets(reads_at(target, repository, head), api.secrets())
    needed = tuple(one.name for one in missing if not one.is_optional)
    return Missing(needed, tuple(one.name for one in missing if one.is_optional))


def _health(target: Target) -> Any:
    from ops.health import check_all

    return check_all(target)


def _api(target: Target) -> ManagementApi:
    api = api_for(target, timeout_seconds=SECONDS, patience_seconds=0)
    if api is None:
        raise OpsError(Reason.BAD_CONFIG, f"The project of {target.name} cannot be asked: {unmanaged_because(target)}.")
    return api
