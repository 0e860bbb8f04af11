"""Asking for something else than a push: what it does, what it costs and what proves it, in one plan with one digest."""

import hashlib
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING
from typing import Any

from audit import Draft
from audit.event import canonical
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.hazards import Hazard
from ops.hazards import find_hazards
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.locking import check_unlocked
from ops.migration import Migration
from ops.people import Actor
from ops.placing import place_request
from ops.plan import sql_document
from ops.plan_parts import changed_parts
from ops.plan_refusals import forbidden
from ops.rehearsing import Tried
from ops.rehearsing import summary
from ops.repository import Author
from ops.requests import Request
from ops.requests import find_request
from ops.scripts import Script
from ops.scripts import read_scripts
from ops.scripts import scripts_in
from ops.scripts import scripts_of
from ops.steps import STEPS
from ops.targets import Target

if TYPE_CHECKING:
    from ops.supabase.function_changes import FunctionChange


@dataclass(frozen=True)
class Proposal:
    """A request of another kind than push, as it would be asked for.

    `title` stands before the target in the card's first line: `undo R-7 on`. `does`, `loses` and `proven` are sentences
    for whoever decides; they are part of the digest. `facts` is the kind's own, plain JSON. `expected` is the catalog hash
    behind each script by version, where a copy showed it. `steps` are those of its run.
    """

    kind: str
    target: Target
    title: str
    commit: str
    fingerprint: Fingerprint
    of: str | None = None
    scripts: tuple[Script, ...] = ()
    migrations: tuple[Migration, ...] = ()
    """The scripts read; see `read`."""
    does: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()
    proven: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, str] | None = None
    tried: Tried | None = None
    """What running the scripts on a copy showed, where that was done."""
    steps: tuple[str, ...] = STEPS
    authors: tuple[str, ...] = ()
    unknown_authors: tuple[str, ...] = ()
    functions: "tuple[FunctionChange, ...]" = ()
    """The functions that are deployed behind the scripts."""
    more_hazards: tuple[Hazard, ...] = ()
    """What is dangerous beside the scripts."""

    @cached_property
    def hazards(self) -> tuple[Hazard, ...]:
        """What of the scripts is dangerous, as a copy showed it where there was one; policies of classes hold for them as
        for a push."""
        found = self.tried.hazards if self.tried is not None else self.hazards_read
        return (*found, *self.more_hazards)

    @cached_property
    def hazards_read(self) -> tuple[Hazard, ...]:
        """The same as the scripts read."""
        return hazards_of(self.target, self.migrations)

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """What is hashed and approved, as plain JSON."""
        expected = self.expected
        return {
            "format": 1,
            "kind": self.kind,
            "target": self.target.name,
            "commit": self.commit,
            "of": self.of,
            "title": self.title,
            "files": [
                {"version": one.version, "name": one.name, "filename": one.filename, "sha256": one.sha256}
                for one in self.migrations
            ],
            "scripts": [one.to_json() for one in self.scripts],
            "does": list(self.does),
            "loses": list(self.loses),
            "proven": list(self.proven),
            "facts": dict(self.facts),
            "steps": list(self.steps),
            "expected": None
            if expected is None
            else [{"version": version, "catalog_sha256": sha256} for version, sha256 in expected.items()],
            "fingerprint": self.fingerprint.to_json(),
            "policy": self.target.settings.policy(),
            **({"functions": [one.to_json() for one in self.functions]} if self.functions else {}),
        }

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(canonical(self.canonical)).hexdigest()


def hazards_of(target: Target, migrations: Sequence[Migration]) -> tuple[Hazard, ...]:
    """What is dangerous in scripts as they read; what of them is on the target already endangers nobody."""
    run = tuple(one for one in migrations if one.segments)
    found = find_hazards(run, project_ref=target.settings.project_ref or "") if run else ()
    first = {one.version: one.statements[one.done].line for one in run}
    return tuple(one for one in found if one.line >= first.get(one.version, 0))


def read_scripts_of(ops: Ops, target: Target, commit: str, scripts: Sequence[Script]) -> tuple[Migration, ...]:
    """The scripts of a proposal, read and judged. Raises OpsError as `read_scripts` does, and COMMIT_NOT_ON_BRANCH where one
    is a file of a commit that the branch does not hold now."""
    if _off_branch(ops, target, commit, scripts):
        branch = target.settings.branch
        raise OpsError(
            Reason.COMMIT_NOT_ON_BRANCH,
            f"The branch {branch} does not hold the commit {commit[:12]} any more, whose files would run.",
            f"Merge it into {branch} again, or ask with a commit that is on it.",
            exit_code=3,
        )
    return read_scripts(ops.repository(target), commit, scripts)


def people_of(ops: Ops, authors: Iterable[Author]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The Slack ids of those of them whom [people] knows, and the names of the others."""
    known = {author: ops.settings.known_author(author.email) for author in authors}
    unknown = {author.name or author.email for author, who in known.items() if not who}
    return tuple(sorted({who for who in known.values() if who})), tuple(sorted(unknown))


def fingerprint_now(target: Target) -> Fingerprint:
    """The target as it is. Raises OpsError where it cannot be asked."""
    with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
        return read_fingerprint(connection, project_ref=target.settings.project_ref)


def propose(ops: Ops, proposal: Proposal, actor: Actor, act: str) -> Request:
    """Write it down as a request; the same act asked again, or the same plan, finds the one that stands.

    Raises OpsError when the actor may not request there, the target is locked, a class of hazards is refused, or nobody
    could ever approve.
    """
    target = proposal.target
    earlier = ops.view.act(f"{act}:requested")
    if earlier:
        return find_request(ops.view, earlier[0].request or "")
    may_request_now(ops, target, actor).or_raise()
    check_unlocked(ops.view, target, ops.now())
    _refuse_unrunnable(proposal)
    if proposal.migrations and target.settings.restore_point:
        from ops.supabase.managed_backups import check_point_possible  # what speaks to Supabase

        check_point_possible(target)
    draft = Draft(
        kind="requested",
        actor=actor.id,
        stream="",
        project=target.project,
        environment=target.environment,
        data={
            "kind": proposal.kind,
            "digest": proposal.digest,
            "commit": proposal.commit,
            "plan": proposal.canonical,
            "hazards": [hazard.to_json() for hazard in proposal.hazards],
            "authors": list(proposal.authors),
            "unknown_authors": list(proposal.unknown_authors),
            "expires_at": (ops.now() + target.settings.expires).isoformat(),
            "rehearsal": summary(proposal.tried.shown, proposal.tried.event) if proposal.tried is not None else None,
        },
    )
    return place_request(ops, target, draft, actor, act)


def what_changed_since(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """The parts of such a plan that are no longer as they were asked for, in words: the target's state, the policy, and the
    branch where it does not hold the commit of a file that would run (a forced push took it out)."""
    target = ops.target_of(request)
    if _off_branch(ops, target, request.commit, scripts_in(request.plan)):
        return [f"the branch {target.settings.branch}, which no longer holds the commit"]
    progress(f"looking at {target.name}")
    now = {
        **request.plan,
        "fingerprint": fingerprint_now(target).to_json(),
        "policy": target.settings.policy(),
        "target": target.name,
    }
    return changed_parts(request.plan, now)


def _off_branch(ops: Ops, target: Target, commit: str, scripts: Iterable[Script]) -> bool:
    """Whether one of the scripts is a file of a commit that is not on the target's branch as it is now."""
    if not any(one.path for one in scripts):
        return False
    repository = ops.repository(target)
    repository.update()
    try:
        repository.resolve(target.settings.branch, commit)
    except OpsError as error:
        if error.reason is not Reason.COMMIT_NOT_ON_BRANCH:
            raise
        return True
    return False


def document_of(ops: Ops, request: Request) -> str:
    """All that such a request stands for, as people read it before they decide: sentences, then the SQL."""
    plan = request.plan
    lines = [f"{request.id}: {plan['title']} {request.target}, plan {request.digest}"]
    for heading, key in (("What it does", "does"), ("What is lost", "loses"), ("What proves it", "proven")):
        if plan[key]:
            lines += ["", f"{heading}:", *(f"- {one}" for one in plan[key])]
    text = "\n".join(f"-- {line}".rstrip() for line in lines) + "\n"
    migrations = scripts_of(ops, request)
    if migrations:
        text += "\n" + sql_document(request.target, request.commit, request.digest, migrations)
    return with_functions_text(ops, request, text)


def with_functions_text(ops: Ops, request: Request, text: str) -> str:
    """A document with what changes of functions behind it, where the request deploys some."""
    if not request.plan.get("functions"):
        return text
    from ops.supabase.function_diff import functions_text  # most requests have no functions

    return f"{text}\n{functions_text(ops, request)}"


def _refuse_unrunnable(proposal: Proposal) -> None:
    """Raises OpsError for a script that cannot be run, or a hazard that the policy refuses."""
    from ops.apply import refuse_unrunnable  # here, as most who read a proposal run none

    for migration in proposal.migrations:
        refuse_unrunnable(migration)
    names = {one.version: one.filename for one in proposal.migrations}
    policy = proposal.target.settings.policy()
    refused = forbidden(proposal.hazards, policy, proposal.target.name, lambda version: names.get(version, version))
    if refused is not None:
        raise refused
