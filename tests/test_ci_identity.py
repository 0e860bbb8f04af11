"""Who a CI job is: every claim counts, and nothing but them lets anybody in."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from audit import Log
from ops.ci_identity import Claims
from ops.ci_identity import Job
from ops.ci_identity import admit
from ops.ci_identity import bearer_job
from ops.ci_identity import job_of
from ops.ci_identity import mapped_actor
from ops.ci_identity import may_ask
from ops.ci_identity import read_claims
from ops.ci_keys import AGAIN_SECONDS
from ops.ci_keys import KEEP_SECONDS
from ops.ci_keys import IssuerKeys
from ops.ci_keys import usable_keys
from ops.ci_settings import Ci
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.settings import read_settings
from sandbox.github import KID
from sandbox.github import FakeGithub

SHA = "a" * 40
AUDIENCE = "https://countersign.acme.example"
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class World:
    """A GitHub, its keys as the bot sees them, and the mapping of one production workflow."""

    github: FakeGithub
    keys: IssuerKeys

    @property
    def ci(self) -> Ci:
        mapping = {
            "repository_id": "712345678",
            "project": "shop",
            "environments": ["prod"],
            "ref": "refs/heads/main",
            "workflow": "acme/shop/.github/workflows/production.yml",
        }
        tokens = [{"name": name, "token": "$T", "project": "shop", "environments": ["dev"]} for name in ("one", "two")]
        return Ci.model_validate({"issuer": self.github.url, "github": [mapping], "tokens": tokens})

    def read(self, token: str, now: float | None = None) -> Claims:
        at = datetime.fromtimestamp(time.time() if now is None else now, UTC)
        return read_claims(token, self.keys.key, issuer=self.github.url, audience=AUDIENCE, now=at)

    def token(self, **others: Any) -> str:
        return self.github.sign(self.github.claims(SHA, **{"aud": AUDIENCE, **others}))

    def said(self, **others: Any) -> Claims:
        return self.read(self.token(**others))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with FakeGithub() as github:
        yield World(github, IssuerKeys(github.url))


def refusal(world: World, token: str, now: float | None = None) -> str:
    with pytest.raises(OpsError) as refused:
        world.read(token, now)
    assert refused.value.reason is Reason.IDENTITY_UNPROVEN
    assert len(token) < 40 or token[:40] not in refused.value.message + refused.value.hint
    return refused.value.message


def test_a_job_of_the_mapped_workflow_is_let_in_for_its_commit(world: World) -> None:
    job, decision = job_of(world.ci, world.said())

    assert decision.allowed
    assert (job.actor.id, job.commit, job.behind) == ("ci:github/712345678/9001", SHA, ("mia-gh",))
    assert may_ask(job, "shop", "prod", None).allowed
    assert may_ask(job, "shop", "prod", SHA[:12]).allowed


class From(int):
    """A moment, as so many seconds from when the test runs: this table is made long before that."""


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "for another audience": ({"aud": "https://elsewhere.example"}, "audience"),
    "for us and others": ({"aud": [AUDIENCE, "https://elsewhere.example"]}, "aud"),
    "of another issuer": ({"iss": "https://token.actions.githubusercontent.com"}, "another issuer"),
    "expired": ({"iat": From(-700), "nbf": From(-700), "exp": From(-60)}, "has expired"),
    "from the future": ({"iat": From(300), "exp": From(600)}, "not good yet"),
    "not good before later": ({"nbf": From(300)}, "not good yet"),
    "good for a day": ({"exp": From(86_400)}, "longer than an hour"),
    "without its own number": ({"jti": None}, "jti"),
    "without an end": ({"exp": None}, "exp"),
    "with an end in words": ({"exp": "tomorrow"}, "no token|exp"),
    "with an end beyond time": ({"exp": 10**30}, "times are none"),
    "with half a commit": ({"sha": "abc"}, "sha"),
    "with a repository's name as its number": ({"repository_id": "acme/shop"}, "repository_id"),
    "with a run that is a path": ({"run_id": "1/../2"}, "run_id"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_token_is_refused(case: str, world: World) -> None:
    others, words = UNFIT[case]
    now = int(time.time())
    claims = {"aud": AUDIENCE, **{k: now + v if isinstance(v, From) else v for k, v in others.items()}}
    token = world.github.sign({k: v for k, v in world.github.claims(SHA, **claims).items() if v is not None})

    assert any(word in refusal(world, token) for word in words.split("|"))


def test_a_signature_that_is_not_the_issuers_is_refused(world: World) -> None:
    claims = world.github.claims(SHA, aud=AUDIENCE)
    whole = world.github.sign(claims)
    head, body, signature = whole.split(".")
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pem = world.keys.key(KID).public_bytes(*public)
    forged = [
        world.github.sign(claims, key=OTHER_KEY),
        world.github.sign(claims, kid="another"),
        world.github.sign(claims, kid="../../keys"),
        world.github.sign(claims, key="", algorithm="none"),
        world.github.sign(claims, key="x" * 40, algorithm="HS256"),
        _signed_with_the_public_key(body, pem),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{world.token(repository_id='1').split('.')[1]}.{signature}",
        "x", "a.b", "a.b.c", "é.b.c", "x" * 9000,
    ]  # fmt: skip
    for token in forged:
        refusal(world, token)
    assert world.read(whole).sha == SHA


def _signed_with_the_public_key(body: str, pem: bytes) -> str:
    """The key that everybody knows, taken for a shared secret."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": KID}).encode()).rstrip(b"=")
    digest = hmac.digest(pem, head + b"." + body.encode(), "sha256")
    return f"{head.decode()}.{body}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


MISFITS = {
    "of a repository that took the name": ({"repository_id": "999"}, "This repository may not ask"),
    "of a pull request": ({"event_name": "pull_request"}, "'pull_request'"),
    "of a pull request with our rights": ({"event_name": "pull_request_target"}, "'pull_request_target'"),
    "of another branch": ({"ref": "refs/heads/evil"}, "runs on refs/heads/evil"),
    "of a tag of the same name": ({"ref": "refs/tags/main"}, "refs/tags/main"),
    "of another workflow": (
        {"job_workflow_ref": "acme/shop/.github/workflows/test.yml@refs/heads/main"}, "test.yml",
    ),
    "of the workflow as another branch has it": (
        {"job_workflow_ref": "acme/shop/.github/workflows/production.yml@refs/heads/evil"}, "@refs/heads/evil",
    ),
    "of a fork's workflow": (
        {"job_workflow_ref": "evil/shop/.github/workflows/production.yml@refs/heads/main"}, "evil/shop",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_a_job_that_is_not_mapped_is_refused(case: str, world: World) -> None:
    others, words = MISFITS[case]
    job, decision = job_of(world.ci, world.said(**others))

    assert not decision.allowed
    assert decision.reason is Reason.NOT_ALLOWED
    assert words in decision.message
    assert not may_ask(job, "shop", "prod", None).allowed


@pytest.mark.parametrize(
    ("project", "environment", "commit"), [("shop", "dev", None), ("other", "prod", None), ("shop", "prod", "b" * 7)]
)
def test_a_mapped_job_asks_for_nothing_else(project: str, environment: str, commit: str | None, world: World) -> None:
    job, _ = job_of(world.ci, world.said())

    assert not may_ask(job, project, environment, commit).allowed


def test_a_bearer_token_is_its_own_actor(world: World) -> None:
    secrets = {"one": "o" * 40, "two": "t" * 40}

    job = bearer_job(world.ci, "t" * 40, secrets)

    assert job is not None
    assert job.actor.id == "ci:token/two"
    assert [bearer_job(world.ci, given, secrets) for given in ("", "t" * 39, "t" * 41, "o" * 20 + "t" * 20)] == [
        None
    ] * 4


def test_an_actor_counts_only_while_it_is_mapped(world: World) -> None:
    ask = [
        ("ci:github/712345678/9001", "prod", True),
        ("ci:github/712345678/9001", "dev", False),
        ("ci:github/71234567/9001", "prod", False),
        ("ci:token/two", "dev", True),
        ("ci:token/three", "dev", False),
        ("ci:", "dev", False),
    ]

    assert [mapped_actor(world.ci, Actor(who), "shop", where).allowed for who, where, _ in ask] == [
        one[2] for one in ask
    ]
    assert not mapped_actor(None, Actor("ci:token/two"), "shop", "dev").allowed


def test_a_token_is_used_up_also_after_a_restart(world: World, tmp_path: Path) -> None:
    claims, actor = world.said(), Actor("ci:github/712345678/9001")
    Log.create(tmp_path / "audit.db")
    with Log.open(tmp_path / "audit.db") as log:
        admit(log, claims, actor, "first")
        with pytest.raises(OpsError, match="used before"):
            admit(log, claims, actor, "second")
    with Log.open(tmp_path / "audit.db") as log:
        with pytest.raises(OpsError, match="used before"):
            admit(log, claims, actor, "third")
        admit(log, world.said(), actor, "fourth")


def test_keys_are_fetched_once_and_strangers_make_nobody_ask_more() -> None:
    at, asked = [0.0], []
    shown = {"keys": [_jwk("one")]}

    def fetch(url: str) -> dict[str, Any]:
        asked.append(url)
        return shown

    keys = IssuerKeys("https://github.example", fetch, lambda: at[0])
    for _ in range(50):
        keys.key("one")
        with pytest.raises(OpsError):
            keys.key("stranger")
    assert asked == ["https://github.example/.well-known/jwks"]

    at[0] = AGAIN_SECONDS + 1
    shown["keys"].append(_jwk("two"))
    keys.key("two")
    assert len(asked) == 2

    at[0] += KEEP_SECONDS + 1
    shown["keys"].pop()
    keys.key("one")
    with pytest.raises(OpsError):
        keys.key("two")


def _jwk(kid: str) -> dict[str, Any]:
    made: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_KEY.public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig"}


def test_keys_that_are_none_are_left_out() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  # on purpose
    weak = {**jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key(), as_dict=True), "kid": "short"}
    odd = [None, 1, {}, {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, {**_jwk("x"), "n": "!"}, weak]
    odd.append({**_jwk("e"), "use": "enc"})

    assert list(usable_keys({"keys": [*odd, _jwk("good")]})) == ["good"]
    assert usable_keys({"keys": "none"}) == {}


CONFIG = """
[projects.shop]
repository = "."
[projects.shop.environments.dev]
database_url = "$URL"
branch = "develop"
approvals = 0
"""
LISTENER = '[listener]\nurl = "https://countersign.acme.example"\n'
GITHUB = """
[[ci.github]]
repository_id = "712345678"
project = "shop"
environments = ["dev"]
ref = "refs/heads/develop"
workflow = "acme/shop/.github/workflows/dev.yml"
"""
BAD = {
    "open to the network": (LISTENER + 'listen = "0.0.0.0:8750"', "behind_proxy"),
    "in clear text": ('[listener]\nurl = "http://countersign.acme.example"', "https://"),
    "with a secret in its address": ('[listener]\nurl = "https://me:secret@acme.example"', "nothing secret"),
    "jobs that cannot reach it": (GITHUB, r"\[ci\] needs \[listener\]"),
    "a repository by its name": (LISTENER + GITHUB.replace("712345678", "acme/shop"), "by its number"),
    "every branch": (LISTENER + GITHUB.replace("refs/heads/develop", "refs/heads/*"), "without a wildcard"),
    "pull requests": (LISTENER + GITHUB + 'events = ["pull_request"]', "events"),
    "an environment that is not there": (LISTENER + GITHUB.replace('["dev"]', '["dev", "prod"]'), "shop/prod"),
    "no environment": (LISTENER + GITHUB.replace('["dev"]', "[]"), "must not be empty"),
    "a token in the file": (
        LISTENER + '[[ci.tokens]]\nname="x"\ntoken="abc"\nproject="shop"\nenvironments=["dev"]', "by name only",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_configuration_does_not_load_with(case: str) -> None:
    lines, words = BAD[case]

    with pytest.raises(OpsError, match=words) as refused:
        read_settings((CONFIG + lines).encode(), Path("countersign.toml"))
    assert refused.value.reason is Reason.BAD_CONFIG
    assert read_settings((CONFIG + LISTENER + GITHUB).encode(), Path("countersign.toml")).ci is not None


def test_a_job_without_a_mapping_sees_nothing() -> None:
    assert not Job(Actor("ci:token/x"), ()).may_see("shop", "dev")
