"""What of GitHub a CI job and the bot meet: tokens for jobs, the keys that they are checked with, and commit statuses.

Shapes: https://docs.github.com/en/actions/reference/security/oidc and https://docs.github.com/en/rest/commits/statuses.
"""

import itertools
import json
import secrets
import time
from collections import deque
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.loop_server import LoopServer

KID = "sandbox-1"
STATUS_TOKEN = "ghs_" + "0" * 36


class FakeGithub(LoopServer):
    """`with FakeGithub() as github:`; `environment(sha)` is what a job has. All it says is about one repository."""

    def __init__(self, repository: str = "acme/shop", repository_id: str = "712345678") -> None:
        super().__init__("github")
        self.repository = repository
        self.repository_id = repository_id
        self.statuses: list[dict[str, Any]] = []
        self.fail_statuses: deque[int] = deque()
        """HTTP statuses that the next posts of a commit status are answered with."""
        self._secret = secrets.token_hex(16)
        self._sha = ""
        self._claims: dict[str, Any] = {}
        self._numbers = itertools.count(1)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def claims(self, sha: str, /, **others: Any) -> dict[str, Any]:
        """What is said of a job that runs for this commit of main, started by a push; `others` say it otherwise."""
        now = int(time.time())
        ref = str(others.get("ref", "refs/heads/main"))
        return {
            "iss": self.url,
            "jti": f"jti-{next(self._numbers)}-{secrets.token_hex(4)}",
            "sub": f"repo:{self.repository}:ref:{ref}",
            "iat": now,
            "nbf": now - 300,
            "exp": now + 300,
            "repository": self.repository,
            "repository_id": self.repository_id,
            "repository_owner": self.repository.partition("/")[0],
            "ref": ref,
            "sha": sha,
            "event_name": "push",
            "job_workflow_ref": f"{self.repository}/.github/workflows/production.yml@{ref}",
            "run_id": "9001",
            "run_attempt": "1",
            "actor": "mia-gh",
            **others,
        }

    def sign(self, claims: dict[str, Any], *, kid: str = KID, key: Any = None, algorithm: str = "RS256") -> str:
        """A token with these claims."""
        return jwt.encode(claims, key if key is not None else self._key, algorithm=algorithm, headers={"kid": kid})

    def environment(self, sha: str, /, **others: Any) -> dict[str, str]:
        """The environment of a job; from now on the tokens of jobs say this of themselves."""
        self._sha, self._claims = sha, others
        claims = self.claims(sha, **others)
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": claims["actor"],
            "GITHUB_SHA": sha,
            "GITHUB_REF": claims["ref"],
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._secret,
        }

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/token", self._token)
        app.router.add_get("/.well-known/jwks", self._keys)
        app.router.add_post("/repos/{owner}/{name}/statuses/{sha}", self._status)
        return app

    async def _token(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").lower() != f"bearer {self._secret}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        claims = self.claims(self._sha, **self._claims)
        return web.json_response({"count": 1, "value": self.sign({**claims, "aud": request.query["audience"]})})

    async def _keys(self, _: web.Request) -> web.Response:
        shown = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return web.json_response({"keys": [{**shown, "use": "sig", "alg": "RS256", "kid": KID}]})

    async def _status(self, request: web.Request) -> web.Response:
        if self.fail_statuses:
            return web.json_response({"message": "Server Error"}, status=self.fail_statuses.popleft())
        if request.headers.get("Authorization") != f"Bearer {STATUS_TOKEN}":
            return web.json_response({"message": "Bad credentials"}, status=401)
        said = await request.json()
        if said.get("state") not in {"error", "failure", "pending", "success"} or len(said["description"]) > 140:
            return web.json_response({"message": "Validation Failed"}, status=422)
        where = "{owner}/{name}".format(**request.match_info)
        self.statuses.append({**said, "sha": request.match_info["sha"], "repository": where})
        return web.json_response(said, status=201)
