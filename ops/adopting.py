"""Adopting a target: its history and schema, as they are, become the baseline that people approved.

For projects that were deployed before they came to us, and after changes that were made past us. Nothing on the target
is changed; what nobody can say is listed in the digest, so that whoever approves has read it.
"""

import hashlib
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from typing import Any

from audit import Draft
from audit import Query
from audit.event import canonical
from ops.applied_files import Applied
from ops.applied_files import read_applied
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.layer import Ops
from ops.layer import Progress
from ops.locking import check_unlocked
from ops.people import Actor
from ops.people import names_of
from ops.placing import place_request
from ops.plan_parts import changed_parts
from ops.policy import is_named
from ops.policy import refused
from ops.repository import Repository
from ops.requests import ADOPT
from ops.requests import Request
from ops.steps import Recorder
from ops.targets import Target

NAMED = 20
"""So many versions are named in one sentence about what is unknown."""


@dataclass(frozen=True)
class Adoption:
    """A target as it would be adopted: `rows` are all versions of its history, `versions` those whose file is known, with
    its SHA-256.

    `differences` are objects that are not what the history makes, as `adopted` events keep them.
    """

    target: Target
    commit: str
    rows: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]
    fingerprint: Fingerprint
    differences: tuple[Mapping[str, str], ...] = ()

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """What is hashed and approved, as plain JSON."""
        return {
            "format": 1,
            "kind": ADOPT,
            "target": self.target.name,
            "commit": self.commit,
            "files": [],
            "expected": None,
            "adopts": {
                "rows": list(self.rows),
                "versions": [{"version": version, "sha256": sha256} for version, sha256 in self.versions],
                "unknown": list(self.unknown),
                "differences": [dict(one) for one in self.differences],
            },
            "fingerprint": self.fingerprint.to_json(),
            "policy": self.target.settings.policy(),
        }

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(canonical(self.canonical)).hexdigest()


def look_at(
    target: Target,
    repository: Repository,
    *,
    ours: Collection[str] = (),
    commit: str | None = None,
    progress: Progress = lambda _: None,
) -> Adoption:
    """A target beside the files of its branch (at `commit` if given). Reads only; raises OpsError as a plan does.

    `ours` are the versions that our own runs applied: who ran them is known.
    """
    progress(f"reading the repository and {target.name}")
    applied = read_applied(target, repository, commit)
    return Adoption(
        target=target,
        commit=applied.commit,
        rows=tuple(row.version for row in applied.rows),
        versions=tuple((one.version, one.sha256) for one in applied.known.values()),
        unknown=tuple(_unknown(applied, ours)),
        fingerprint=applied.fingerprint,
    )


def request_adoption(
    ops: Ops, target: Target, actor: Actor, act: str, *, progress: Progress = lambda _: None
) -> tuple[Adoption, Request]:
    """Ask to adopt a target. The same act asked again finds its request.

    Raises OpsError: NOT_ALLOWED for whoever is no overrider of the target, TARGET_LOCKED, what reading raises.
    """
    may_override_now(ops, target, actor)
    check_unlocked(ops.view, target, ops.now())
    # Here for the same reason as in `_with_drift`. What came from outside is noted before it becomes the baseline.
    from ops.outside import look

    look(ops, target, remember=False)
    found = look_at(target, ops.repository(target), ours=_ours(ops, target), progress=progress)
    _check_new(ops, found)
    found = _with_drift(ops, found, actor, progress)
    draft = Draft(
        kind="requested",
        actor=actor.id,
        stream="",
        project=target.project,
        environment=target.environment,
        data={
            "kind": ADOPT,
            "digest": found.digest,
            "commit": found.commit,
            "plan": found.canonical,
            "hazards": [],
            "authors": [],
            "unknown_authors": [],
            "expires_at": (ops.now() + target.settings.expires).isoformat(),
        },
    )
    return found, place_request(ops, target, draft, actor, act)


def may_override_now(ops: Ops, target: Target, actor: Actor) -> None:
    """Raise OpsError unless this actor is one of the target's overriders, by the configuration and by what Slack says."""
    entries = target.settings.overriders
    if not entries:
        refused(
            Reason.NOT_ALLOWED,
            f"Nobody may adopt {target.name}: it names no overriders.",
            "Whoever keeps the configuration can add `overriders` to the environment.",
        ).or_raise()
    directory = ops.directory(entries, users=(actor.user,), members=False)
    problem = directory.problem_of(actor.user) if actor.user else None
    if problem is not None or not is_named(entries, actor, directory.groups):
        refused(
            Reason.NOT_ALLOWED,
            f"You may not adopt {target.name}{f': {problem}' if problem else ''}.",
            f"Its overriders may: {names_of(entries)}.",
        ).or_raise()


def what_changed_since(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """The parts of an adoption that are no longer as they were asked for, in words.

    What differs from the history is not worked out again: it follows from the history and the schema, which are compared.
    """
    target = ops.target_of(request)
    now = look_at(target, ops.repository(target), commit=request.commit, progress=progress).canonical
    changed = changed_parts(request.plan, now)
    is_known = now["adopts"]["versions"] == request.plan["adopts"]["versions"]
    return changed or ([] if is_known else ["what is known of its history"])


def _ours(ops: Ops, target: Target) -> frozenset[str]:
    """The versions that our own runs applied there."""
    query = Query(project=target.project, environment=target.environment, kinds=("migration_applied",))
    return frozenset(str(event.data["version"]) for event in ops.view.find(query) if event.data)


def _check_new(ops: Ops, found: Adoption) -> None:
    """Raise OpsError(ALREADY_DECIDED) when exactly this state was adopted before."""
    target, now = found.target, found.fingerprint.to_json()
    last = ops.view.last(kind="adopted", project=target.project, environment=target.environment)
    if last is not None and last.data and last.data["fingerprint"] == now:
        refused(
            Reason.ALREADY_DECIDED,
            f"{target.name} is what {last.request} adopted: nothing has changed there since.",
            f"Read it with `show {last.request}`.",
        ).or_raise()


def _with_drift(ops: Ops, found: Adoption, actor: Actor, progress: Progress) -> Adoption:
    """The same with what the schema has otherwise than the history makes, or why nobody can say."""
    # Here because it loads all that a rehearsal takes, and every run looks into this module.
    from ops.drift import drift_of
    from ops.schema.naming import words_of

    try:
        drift = drift_of(ops, found.target, actor, progress)
    except OpsError as error:
        if error.reason is Reason.STOPPED:
            raise
        unsaid = f"Whether the schema is what the applied migrations make cannot be said. {error.message}"
        return replace(found, unknown=(*found.unknown, unsaid))
    if not drift.differences:
        return found
    differences = tuple(
        {
            "kind": one.object.kind,
            "schema": one.object.schema,
            "name": one.object.name,
            "words": words_of(one.object),
            "sha256": one.sha256,
        }
        for one in drift.differences
    )
    names = [words_of(one.object) for one in drift.differences]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    are = "object is" if len(names) == 1 else "objects are"
    sentence = f"{len(names)} {are} not what the applied migrations make: {', '.join(names[:NAMED])}{more}."
    return replace(found, unknown=(*found.unknown, sentence), differences=differences)


def adopt(recorder: Recorder, target: Target) -> None:
    """The whole run of an adoption, under the guard: everything again as it was approved, then the entry in the log."""
    request = recorder.request
    if any(event.kind == "adopted" for event in recorder.ops.view.events(stream=request.stream)):
        return  # the runner before died behind the entry
    with recorder.step("preflight", {"digest": request.digest, "makes": []}) as result:
        changed = what_changed_since(recorder.ops, request, recorder.progress)
        if changed:
            raise OpsError(
                Reason.PLAN_CHANGED,
                f"Since {request.id} was made, this changed: {', '.join(changed)}. Nothing was adopted.",
                f"Look again: `adopt {request.environment}`.",
                exit_code=3,
                details={"changed": changed},
            )
        result["health"] = []
        result["said"] = "exactly the state that was asked for"
    if recorder.stop():
        raise OpsError(Reason.STOPPED, f"{request.id} was stopped. Nothing was adopted.", exit_code=1)
    adopts: Mapping[str, Any] = request.plan["adopts"]
    data = {
        "digest": request.digest,
        "unknown": list(adopts["unknown"]),
        "versions": list(adopts["versions"]),
        "differences": list(adopts["differences"]),
        "rows": list(adopts["rows"]),
        "fingerprint": dict(request.plan["fingerprint"]),
    }
    recorder.ops.log.append(recorder.drafts("adopted", data, target.stream))


_WORDS = {
    "remote_only": "In the history, and no file of the repository:",
    "edited": "Edited after it was applied, so the file is not what ran:",
    "unknown": "With a row that does not say what ran:",
    "duplicate_version": "The version of more than one file:",
    "out_of_order": "Older than the newest applied one, and never applied:",
    "version_too_big": "With a version that the Supabase CLI does not list:",
}


def _unknown(applied: Applied, ours: Collection[str]) -> list[str]:
    """What nobody can say about the target, in sentences, the same for the same state."""
    found = []
    for code, words in _WORDS.items():
        versions = sorted({problem.version for problem in applied.problems if problem.code == code})
        if versions:
            more = f" and {len(versions) - NAMED} more" if len(versions) > NAMED else ""
            found.append(f"{words} {', '.join(versions[:NAMED])}{more}.")
    theirs = [row.version for row in applied.rows if row.version not in ours]
    if theirs:
        which = f"the {len(theirs)} applied migrations" if len(theirs) > 1 else "the applied migration"
        others = "" if len(theirs) == len(applied.rows) else " that this log did not see run"
        found.append(f"Who ran {which}{others}, when, and who allowed it is not known.")
    return found


def document_of(request: Request) -> str:
    """All that an adoption stands for, as people read it before they decide."""
    adopts = request.plan["adopts"]
    lines = [
        f"{request.id}: adopt {request.target}, commit {request.commit}, plan {request.digest}",
        "",
        f"{len(adopts['rows'])} migrations are applied there. From now on these count as known, byte for byte:",
        *(f"  {one['version']}  sha256 {one['sha256']}" for one in adopts["versions"]),
        "",
        "What nobody can say:",
        *(f"- {one}" for one in adopts["unknown"]),
    ]
    if adopts["differences"]:
        lines += ["", "Objects that are not what the applied migrations make, with the SHA-256 of their definition:"]
        lines += [f"  {one['sha256'][:16]}  {one['words']}" for one in adopts["differences"]]
    return "\n".join(lines) + "\n"
