"""A project's secrets by name and digest: what is there, what functions read, what is missing, what is shared. No values.

The API gives a digest for each value and does not say how it is made, so digests of the API are compared with digests of
the API alone.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from typing import Any

from ops.errors import OpsError
from ops.hazards.model import Hazard
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.secret_rules import SECRET_MISSING
from ops.hazards.secret_rules import SECRET_SHARED
from ops.masking import printable
from ops.repository import Repository
from ops.supabase.client import api_for
from ops.supabase.client import unmanaged_because
from ops.supabase.env_reads import FunctionReads
from ops.supabase.env_reads import Read
from ops.supabase.env_reads import is_given
from ops.supabase.env_reads import reads_of
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import functions_at
from ops.supabase.models import Secret
from ops.targets import Target
from ops.targets import all_targets

SHOWN_DIGITS = 8
"""So much of a digest is shown and kept: enough to see that a value changed, too little to find a short one out."""

OTHERS_SECONDS = 5.0
"""So long other environments have to say what they hold."""


_TOLD = re.compile(r" reads? (\w+), which is not set there")


@dataclass(frozen=True)
class Shared:
    """Which names have the same value elsewhere: by name the environments, sorted. `unasked`: which did not say, with why."""

    by_name: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unasked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """One name on a target. `digest` is short; empty: it is not there. `updated_at` None: the API did not say.

    `functions` read it, all of them with a default where `is_optional`; `shared_with` has the same value.
    """

    name: str
    digest: str = ""
    updated_at: datetime | None = None
    functions: tuple[str, ...] = ()
    is_optional: bool = False
    shared_with: tuple[str, ...] = ()

    @property
    def is_missing(self) -> bool:
        return not self.digest


def reads_at(target: Target, repository: Repository, commit: str) -> FunctionReads:
    """What the functions of a commit read, from all files that each is made of. Raises OpsError as reading them does."""
    sources = functions_at(repository, commit, target.settings.project_ref or "")
    return reads_in_sources(sources)


def reads_in_sources(sources: Iterable[FunctionSource]) -> FunctionReads:
    """The same of functions that were read already."""
    texts = {one.slug: [file.content.decode(errors="replace") for file in one.files] for one in sources}
    return reads_of(texts)


def missing_secrets(reads: FunctionReads, there: Iterable[Secret]) -> tuple[Read, ...]:
    """What functions read and the project does not have, in the order of the alphabet."""
    names = {one.name for one in there}
    return tuple(read for name, read in reads.by_name.items() if name not in names)


def listed(reads: FunctionReads, there: Iterable[Secret], shared: Shared) -> tuple[Listed, ...]:
    """Every name that is set or read, sorted; what the platform sets itself is left out."""
    by_name = {one.name: one for one in there if not is_given(one.name)}
    found = []
    for name in sorted({*by_name, *reads.by_name}):
        one, read = by_name.get(name), reads.by_name.get(name)
        found.append(
            Listed(
                name=name,
                digest=short(one) if one is not None else "",
                updated_at=moment_of(one) if one is not None else None,
                functions=read.functions if read is not None else (),
                is_optional=read is not None and read.is_optional,
                shared_with=shared.by_name.get(name, ()),
            )
        )
    return tuple(found)


def short(secret: Secret) -> str:
    """The beginning of a digest, as it is shown and kept; a digest of another kind than hex is cut likewise."""
    return printable(secret.digest, SHOWN_DIGITS + 1)[:SHOWN_DIGITS] or "?"


def moment_of(secret: Secret) -> datetime | None:
    """When it was set last, as the API says; None where it does not, or says something that is no time."""
    try:
        at = datetime.fromisoformat(secret.updated_at or "")
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def shared_with(there: Iterable[Secret], others: Mapping[str, Iterable[Secret]]) -> Mapping[str, tuple[str, ...]]:
    """Which names have the same digest in other environments. Pure."""
    mine = {one.name: one.digest for one in there if one.digest and not is_given(one.name)}
    found: dict[str, list[str]] = {}
    for environment, secrets in sorted(others.items()):
        for one in secrets:
            if mine.get(one.name) == one.digest:
                found.setdefault(one.name, []).append(environment)
    return {name: tuple(environments) for name, environments in sorted(found.items())}


def shared_secrets(target: Target, there: Sequence[Secret]) -> Shared:
    """The same, asking the other projects behind this project's environments, at once. Fails for none of them."""
    others = [
        one
        for one in all_targets(target.all_settings)
        if one.project == target.project
        and one.settings.project_ref not in {None, target.settings.project_ref}
        and not unmanaged_because(one)
    ]
    if not others or not there:
        return Shared()
    with ThreadPoolExecutor(min(4, len(others)), "secrets") as pool:
        answers = dict(zip((one.environment for one in others), pool.map(_asked, others), strict=True))
    said = {name: answer for name, answer in answers.items() if not isinstance(answer, OpsError)}
    unasked = {name: answer.message for name, answer in answers.items() if isinstance(answer, OpsError)}
    return Shared(shared_with(there, said), unasked)


def _asked(target: Target) -> Sequence[Secret] | OpsError:
    try:
        api = api_for(target, timeout_seconds=OTHERS_SECONDS, patience_seconds=0)
        if api is None:
            return ()
        with api:
            return api.secrets()
    except OpsError as error:
        return error


def secret_hazards(
    reads: FunctionReads, there: Sequence[Secret], shared: Shared, environment: str
) -> tuple[Hazard, ...]:
    """What is dangerous about the environment that functions will run in, each at a function that reads the name. Pure."""
    found = []
    for read in missing_secrets(reads, there):
        said = f"{_functions(read.functions)} {_reads(read)} {read.name}, which is not set there"
        if read.is_optional:
            found.append(_hazard(SECRET_MISSING, f"{said}; each has a default.", environment, read, Level.INFO))
        else:
            hint = f" `secrets {environment} set {read.name}` asks for it."
            found.append(_hazard(SECRET_MISSING, f"{said}.{hint}", environment, read))
    for name, others in shared.by_name.items():
        if (one := reads.by_name.get(name)) is not None:
            message = f"{name} has the same value there as on {' and '.join(others)}."
            found.append(_hazard(SECRET_SHARED, message, environment, one))
    return tuple(found)


def told_missing(hazards: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The names that these hazards (as JSON) say to be missing."""
    said = [str(one["message"]) for one in hazards if one["rule"] == SECRET_MISSING.id]
    return frozenset(found[1] for one in said if (found := _TOLD.search(one)) is not None)


def _hazard(rule: Rule, message: str, environment: str, read: Read, level: Level | None = None) -> Hazard:
    safe_way = rule.safe_way.replace("secrets prod set STRIPE_KEY", f"secrets {environment} set {read.name}")
    place = f"functions/{read.functions[0]}"
    return Hazard(rule.id, rule.hazard_class, level or rule.level, place, 1, message, safe_way)


def _functions(slugs: Sequence[str]) -> str:
    named = ", ".join(slugs[:3])
    more = f" and {len(slugs) - 3} more" if len(slugs) > 3 else ""
    return f"The function {named}" if len(slugs) == 1 else f"The functions {named}{more}"


def _reads(read: Read) -> str:
    return "reads" if len(read.functions) == 1 else "read"
