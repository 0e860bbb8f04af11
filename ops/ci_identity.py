"""Who a CI job is, as its issuer proves it, and what such a job may ask for. Only plans and pushes, and waiting for them.

The claims of GitHub's tokens: https://docs.github.com/en/actions/reference/security/oidc.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Annotated

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.exceptions import PyJWTError
from jwt.types import Options
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import ValidationError

from audit import Draft
from audit import Log
from ops.ci_keys import unproven
from ops.ci_settings import Ci
from ops.ci_settings import CiGithub
from ops.ci_settings import CiToken
from ops.errors import Reason
from ops.people import Actor
from ops.policy import Decision
from ops.policy import refused

TOKEN_BYTES = 8 * 1024
LEEWAY = timedelta(seconds=30)
"""So far the clocks may be apart."""

LONGEST = timedelta(hours=1)
"""A token that is good for longer is none that GitHub made."""

LEAST_SECRET = 32
"""So many characters a bearer token has at least: what is shorter could be guessed."""

_SIGNATURE_ALONE = Options(
    verify_signature=True,
    verify_exp=False,
    verify_nbf=False,
    verify_iat=False,
    verify_aud=False,
    verify_iss=False,
    verify_sub=False,
    verify_jti=False,
)
"""Times and names are looked at by `check_claims`: by our own clock, and letter by letter."""

_Short = Annotated[str, Field(min_length=1, max_length=500)]
_Number = Annotated[str, Field(pattern="^[1-9][0-9]{0,18}$")]


class Claims(BaseModel):
    """What GitHub says of a job. Other claims are left aside."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)

    iss: _Short
    aud: _Short
    jti: _Short
    iat: int
    exp: int
    nbf: int | None = None
    repository: _Short
    repository_id: _Number
    ref: _Short
    sha: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    event_name: _Short
    job_workflow_ref: _Short
    run_id: _Number
    actor: Annotated[str, Field(min_length=1, max_length=100)]


@dataclass(frozen=True)
class Job:
    """A CI job whose credential was right. `maps` are the mappings that fit it; `commit` is the one that it runs for, where
    that is proven; `behind` the login that started it, as far as its issuer says."""

    actor: Actor
    maps: tuple[CiGithub | CiToken, ...]
    commit: str | None = None
    behind: tuple[str, ...] = ()
    claims: Claims | None = None

    def may_see(self, project: str, environment: str) -> bool:
        """Whether an environment is one of those that this job may ask for."""
        return any(one.project == project and environment in one.environments for one in self.maps)


def read_claims(
    token: str, key_of: Callable[[str], RSAPublicKey], *, issuer: str, audience: str, now: datetime
) -> Claims:
    """The claims of a token that this issuer signed for us, and that is good now. Raises OpsError(IDENTITY_UNPROVEN)."""
    if len(token) > TOKEN_BYTES:
        raise unproven("The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str) or "crit" in header:
            raise unproven("The token is not signed with RS256 and a named key.")
        said = jwt.decode(token, key_of(header["kid"]), algorithms=["RS256"], options=_SIGNATURE_ALONE)
        claims = Claims.model_validate(said)
    except PyJWTError as error:
        raise unproven("The token's signature is not its issuer's, or it is no token.") from error
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, one["loc"])) for one in error.errors(include_input=False)}))
        raise unproven(f"The token lacks claims, or has others than GitHub makes: {fields}.") from None
    check_claims(claims, issuer=issuer, audience=audience, now=now)
    return claims


def check_claims(claims: Claims, *, issuer: str, audience: str, now: datetime) -> None:
    """Raise OpsError(IDENTITY_UNPROVEN) unless the token is from this issuer, for us, and good at this moment."""
    if claims.iss != issuer:
        raise unproven("The token is from another issuer than the configured one.")
    if claims.aud != audience:
        raise unproven(f"The token is for another audience than {audience}.", f"Ask for one with audience {audience}.")
    try:
        since, until = (datetime.fromtimestamp(at, UTC) for at in (max(claims.iat, claims.nbf or 0), claims.exp))
        issued = datetime.fromtimestamp(claims.iat, UTC)
    except (OverflowError, ValueError, OSError):
        raise unproven("The token's times are none.") from None
    if now < since - LEEWAY:
        raise unproven("The token is not good yet: the clocks of its issuer and of this host differ.")
    if now >= until + LEEWAY:
        raise unproven("The token has expired.")
    if until - issued > LONGEST or now - issued > LONGEST:
        raise unproven("The token is good for longer than an hour, as GitHub makes none.")


def job_of(ci: Ci, claims: Claims) -> tuple[Job, Decision]:
    """The job, and whether any mapping fits it: all of a mapping's claims, letter by letter.

    Who is mapped nowhere hears no more than that; a repository that is mapped hears which claim does not fit.
    """
    actor = Actor(f"ci:github/{claims.repository_id}/{claims.run_id}")
    fits = tuple(one for one in ci.github if not _misfits(one, claims))
    job = Job(actor, fits, claims.sha, (claims.actor,), claims)
    if fits:
        return job, Decision(True)
    of_repository = [one for one in ci.github if one.repository_id == claims.repository_id]
    facts = {
        name: getattr(claims, name)[:200]
        for name in ("repository", "repository_id", "ref", "event_name", "job_workflow_ref")
    }
    if not of_repository:
        message = "This repository may not ask for anything here."
        return job, refused(Reason.NOT_ALLOWED, message, "Whoever runs the bot maps it under [[ci.github]].", **facts)
    nearest = min((_misfits(one, claims) for one in of_repository), key=len)
    message = f"This job may not ask for anything here: {'; '.join(nearest)}."
    return job, refused(Reason.NOT_ALLOWED, message, "Compare the workflow with its [[ci.github]] mapping.", **facts)


def _misfits(mapping: CiGithub, claims: Claims) -> list[str]:
    """What of a job's claims is not as the mapping wants it, in words."""
    found = []
    if claims.repository_id != mapping.repository_id:
        found.append("it is of another repository")
    if claims.event_name not in mapping.events:
        found.append(f"it was started by {claims.event_name!r}, not by {' or '.join(mapping.events)}")
    if claims.ref != mapping.ref:
        found.append(f"it runs on {claims.ref}, not on {mapping.ref}")
    if claims.job_workflow_ref != mapping.job_workflow_ref:
        found.append(f"it runs {claims.job_workflow_ref}, not {mapping.job_workflow_ref}")
    return found


def bearer_job(ci: Ci, token: str, secrets: Mapping[str, str]) -> Job | None:
    """The job that has this bearer token, or None. `secrets` are the tokens by name; all are compared, each in the same time
    whatever is in it."""
    given = hashlib.sha256(token.encode()).digest()
    fits = [one for one in ci.tokens if hmac.compare_digest(hashlib.sha256(secrets[one.name].encode()).digest(), given)]
    if len(fits) != 1:
        return None
    return Job(Actor(f"ci:token/{fits[0].name}"), (fits[0],), behind=())


def may_ask(job: Job, project: str, environment: str, commit: str | None) -> Decision:
    """Whether this job may plan and push there, at this commit (None: the one that it runs for, or the newest)."""
    if not job.may_see(project, environment):
        return refused(
            Reason.NOT_ALLOWED,
            f"This job may not ask for anything on {project}/{environment}.",
            "Whoever runs the bot maps it under [ci].",
        )
    if job.commit is not None and commit is not None and not job.commit.startswith(commit):
        return refused(
            Reason.NOT_ALLOWED,
            f"This job runs for the commit {job.commit[:12]}, and asks for {commit[:12]}.",
            "Leave --commit out: a job asks for its own commit.",
        )
    return Decision(True)


def mapped_actor(ci: Ci | None, actor: Actor, project: str, environment: str) -> Decision:
    """Whether a CI actor whose job was let in is mapped to this target still, by the configuration of this moment."""
    maps: Sequence[CiGithub | CiToken] = ()
    if ci is not None and (found := re.fullmatch(r"ci:github/([0-9]+)/[0-9]+", actor.id)):
        maps = [one for one in ci.github if one.repository_id == found[1]]
    elif ci is not None and (found := re.fullmatch(r"ci:token/(.+)", actor.id)):
        maps = [one for one in ci.tokens if one.name == found[1]]
    return may_ask(Job(actor, tuple(maps)), project, environment, None)


def admit(log: Log, claims: Claims, actor: Actor, nonce: str) -> None:
    """Write down that this token came in: it is used up then, here and after every restart. `nonce` is of this call alone.

    Raises OpsError(IDENTITY_UNPROVEN) when it was used before, AuditError when the log does not take it.
    """
    name = hashlib.sha256(f"{claims.iss}\n{claims.jti}".encode()).hexdigest()
    shown = {
        "repository": claims.repository,
        "ref": claims.ref,
        "sha": claims.sha,
        "event_name": claims.event_name,
        "workflow": claims.job_workflow_ref,
        "started_by": claims.actor,
    }
    draft = Draft(
        kind="ci_admitted",
        actor=actor.id,
        stream="people",
        data={
            **shown,
            "token_sha256": name,
            "nonce": nonce,
            "until": datetime.fromtimestamp(claims.exp, UTC).isoformat(),
        },
    )
    first = log.transact(lambda _: [draft], id=f"ci-token:{name}")
    if (first[0].data or {}).get("nonce") != nonce:
        raise unproven("The token was used before, and each is good for one request.")
