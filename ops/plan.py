"""A plan: exactly what would run on a target. Computed from the commit, the target and the configuration; never edited."""

import hashlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from typing import Any

from audit.event import canonical
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.hazards import Hazard
from ops.history import Comparison
from ops.history import HistoryProblem
from ops.history import HistoryRow
from ops.judged_files import judged
from ops.judged_files import read_files
from ops.known_readings import Reading
from ops.masking import mask_sql
from ops.migration import Migration
from ops.plan_refusals import forbidden
from ops.plan_refusals import not_rehearsed
from ops.plan_refusals import unruled
from ops.rehearsal.report import Rehearsal
from ops.repository import Author
from ops.repository import Commit
from ops.repository import Repository
from ops.targets import Target

if TYPE_CHECKING:
    from ops.quiet import Quiet
    from ops.supabase.function_changes import FunctionChange
    from ops.target_reading import State

# Grammar, rules and database driver are loaded where they are needed, the last while git works: most plans are of files
# that are known, and take less time than loading the three.


@dataclass(frozen=True)
class Plan:
    """What would run, in order, and everything that an approval of it rests on."""

    target: Target
    commit: Commit
    pending: tuple[Migration, ...]
    fingerprint: Fingerprint
    hazards: tuple[Hazard, ...]
    problems: tuple[HistoryProblem, ...]
    skipped: Mapping[str, str]
    authors: tuple[Author, ...] = ()
    applied: int = 0
    policy: Mapping[str, Any] = field(default_factory=dict)
    clean: frozenset[str] = frozenset()
    """Names of files that are known to hold nothing to be masked; of the others it is looked at again."""
    rehearsal: Rehearsal | None = None
    """What it did on a copy of the target; None where it was not tried."""
    rehearsed: str | None = None
    """The id of the event that tells it."""
    quiet: "Quiet | None" = None
    """When the target is quiet, as far as it is known; None where it is not watched."""
    history: tuple[HistoryRow, ...] = ()
    """The rows of the target's history, as the fingerprint has them."""
    landed_seq: int = 0
    """The number of the last event, before the target was looked at, that a run had ended there; 0: none had."""
    hotfix: Mapping[str, Any] = field(default_factory=dict)
    """Who asks for it as a hotfix and why (see `ops.hotfixing.hotfix_of`), which passes windows; empty: it is none."""
    at_supabase: str = ""
    """What Supabase itself can put back, in words, as it was looked at for the plan; empty where nobody looked."""
    emergency: str = ""
    """Why it is asked for as an emergency, which an overrider may let run without approvals; empty: it is not."""
    functions: "tuple[FunctionChange, ...]" = ()
    """The functions of the commit and of the target, also those that stay as they are; none where they are not managed."""

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """The plan as it is hashed: plain JSON, the same bytes for the same plan on every machine."""
        return {
            "format": 1,
            "kind": "push",
            "target": self.target.name,
            "commit": self.commit.sha,
            "files": [
                {
                    "version": migration.version,
                    "name": migration.name,
                    "filename": migration.filename,
                    "sha256": migration.sha256,
                }
                for migration in self.pending
            ],
            "fingerprint": self.fingerprint.to_json(),
            "policy": dict(self.policy),
            "expected": self.expected,
            **({"emergency": {"because": self.emergency}} if self.emergency else {}),
            **({"hotfix": dict(self.hotfix)} if self.hotfix else {}),
            **({"functions": [one.to_json() for one in self.deployed]} if self.deployed else {}),
        }

    @property
    def deployed(self) -> "tuple[FunctionChange, ...]":
        """The functions that something is done about."""
        return tuple(one for one in self.functions if one.acts)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do: no migration is pending, and every function is as it should be."""
        return not self.pending and not self.deployed

    @property
    def expected(self) -> list[dict[str, str]] | None:
        """What the target must show after each file, where its policy has plans rehearsed and the copy was exact."""
        if self.rehearsal is None or self.policy.get("rehearsal", "off") == "off":
            return None
        return self.rehearsal.expected()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical plan (RFC 8785), in hex: what people approve."""
        return hashlib.sha256(canonical(self.canonical)).hexdigest()

    def blocks(self) -> OpsError | None:
        """Why a push of this plan is refused, or None. A plan is shown all the same."""
        if self.is_empty:
            return self.cannot_run()
        return (
            self.cannot_run()
            or forbidden(self.hazards, self.policy, self.target.name, self.filename_of)
            or unruled(self.hazards, self.policy, self.target.name)
            or (not_rehearsed(self.rehearsal, self.policy, self.target.name) if self.pending else None)
        )

    def cannot_run(self) -> OpsError | None:
        """Why it is not even to be rehearsed: history and files do not fit, or a file cannot be run. None: it is."""
        for problem in self.problems:
            if problem.blocks:
                return OpsError(Reason.PLAN_BLOCKED, problem.message, problem.repair, exit_code=3)
        for migration in self.pending:
            for refusal in migration.refusals:
                return OpsError(
                    Reason.PLAN_BLOCKED,
                    f"{migration.filename}, line {refusal.line}: {refusal.message}",
                    refusal.hint,
                    exit_code=3,
                )
        return None

    def filename_of(self, version: str) -> str:
        return next((one.filename for one in self.pending if one.version == version), version)

    def pending_json(self) -> list[dict[str, Any]]:
        """The pending files as the contract prints them; secrets are cut and marked."""
        found = []
        for migration in self.pending:
            texts = [statement.text for statement in migration.statements]
            shown = texts if migration.filename in self.clean else [mask_sql(text) for text in texts]
            found.append(
                {
                    "version": migration.version,
                    "name": migration.name,
                    "sha256": migration.sha256,
                    "statements": shown,
                    "masked": shown != texts,
                    "notes": list(migration.notes),
                    "refusals": [f"line {one.line}: {one.message}" for one in migration.refusals],
                }
            )
        return found

    def sql_document(self) -> str:
        """The full SQL of all pending files as people read it."""
        return sql_document(self.target.name, self.commit.sha, self.digest, self.pending)


def pending_of(repository: Repository, commit: str, files: Sequence[Mapping[str, Any]]) -> tuple[Migration, ...]:
    """The files of a plan, read again at its commit and compared with its hashes byte for byte.

    Raises OpsError(PLAN_CHANGED) when one is missing or differs, which only a damaged mirror can bring about.
    """
    wanted_names = {one["filename"] for one in files}
    listing = repository.listing(commit)
    folder = read_files(repository, listing, wanted_names)
    found = {migration.filename: migration for migration in folder.migrations}
    for wanted in files:
        migration = found.get(wanted["filename"])
        if migration is None or migration.sha256 != wanted["sha256"]:
            raise OpsError(
                Reason.PLAN_CHANGED,
                f"{wanted['filename']} at {commit[:12]} is not the file that was asked for.",
                "Make a new plan.",
                exit_code=3,
                details={"changed": ["the files"]},
            )
    return tuple(found[wanted["filename"]] for wanted in files)


def sql_document(target: str, commit: str, digest: str, migrations: Sequence[Migration]) -> str:
    """The full SQL of these files as people read it: in order, headed by name and hash, secrets cut."""
    parts = [
        f"-- {target}, commit {commit}, plan {digest}",
        f"-- {len(migrations)} migration{'s' if len(migrations) != 1 else ''}, in the order in which they run",
    ]
    for migration in migrations:
        parts += ["", f"-- === {migration.filename}  sha256 {migration.sha256}", mask_sql(migration.text).rstrip()]
    return "\n".join(parts) + "\n"


Progress = Callable[[str], None]
"""Told in a few words what is being done, for the person who waits."""


def make_plan(
    target: Target,
    repository: Repository,
    *,
    commit: str | None = None,
    anew: bool = False,
    progress: Progress = lambda _: None,
) -> Plan:
    """The plan for a target: at `commit` if given (it must be on the branch), else at the branch's head.

    `anew`: of the branch as it is now, also where the commit is known already. Reads only; writes nothing on the target.
    Raises OpsError when the repository or the target cannot be read.
    """
    progress(f"reading the repository and {target.name}")
    with ThreadPoolExecutor(1, "target") as beside:
        target_read = beside.submit(_read_target, target)  # git and the server both have us wait
        try:
            if anew or commit is None or not repository.has_commit(commit):
                repository.update()
            sha = repository.resolve(target.settings.branch, commit)
            listing = repository.listing(sha)
        except BaseException:
            if target_read.exception() is None:
                target_read.result().connection.close()
            raise
    state = target_read.result()
    with closing(state.connection):
        progress("looking for hazards")
        reading, comparison = judged(repository, listing, state, target.settings.project_ref or "")
        problems = (*state.hidden_indexes(comparison.pending), *comparison.problems)
    comparison = replace(comparison, problems=problems)
    plan = _assemble(target, repository, listing.commit, reading, comparison, state.fingerprint)
    plan = replace(plan, history=state.rows)
    if target.project_settings.types is not None and plan.pending:
        plan = replace(plan, hazards=(*plan.hazards, *_stale_types(target, repository, plan)))
    if target.settings.project_ref is None or target.settings.functions == "off":
        return plan
    from ops.supabase.function_plan import with_functions  # what speaks to Supabase, where there is a project there

    return with_functions(plan, repository, progress)


def _read_target(target: Target) -> "State":
    from ops.target_reading import read_target  # with the driver, which loads while git works

    return read_target(target)


def _assemble(
    target: Target,
    repository: Repository,
    commit: Commit,
    reading: Reading,
    comparison: Comparison,
    fingerprint: Fingerprint,
) -> Plan:
    pending = comparison.pending
    paths = [f"migrations/{migration.filename}" for migration in pending]
    return Plan(
        target=target,
        commit=commit,
        pending=pending,
        fingerprint=fingerprint,
        hazards=reading.hazards,
        problems=comparison.problems,
        skipped={skip.filename: skip.why for skip in reading.folder.skipped},
        authors=repository.authors(commit.sha, None, paths) if paths else (),
        applied=comparison.applied,
        policy=target.settings.policy(),
        clean=reading.clean,
    )


def _stale_types(target: Target, repository: Repository, plan: Plan) -> tuple[Hazard, ...]:
    """What the commit's TypeScript types do not know of the pending files."""
    from ops.hazards.types_stale import stale_types  # with the grammar, for projects that say where their types are

    path = target.project_settings.types or ""
    with repository.files_at(plan.commit.sha) as files:
        found = files.read(path)
    schemas = target.settings.exposed_schemas or ("public",)
    return stale_types(plan.pending, None if found is None else found.decode(errors="replace"), path, schemas)
