"""The tables [ci] and [github]: which CI jobs may ask here, for what, and where commits get a status."""

from typing import Annotated
from typing import Literal

from pydantic import Field

from ops.listener_settings import PlainUrl
from ops.setting_values import Name
from ops.setting_values import SecretReference
from ops.setting_values import Table
from ops.setting_values import shaped

ISSUER = "https://token.actions.githubusercontent.com"
"""GitHub's own; on GitHub Enterprise Server it is https://HOST/_services/token.

https://docs.github.com/en/actions/reference/security/oidc
"""

_Workflow = Annotated[
    str,
    shaped(
        r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+/\.github/workflows/[^@/\s]+\.ya?ml(@refs/[^\s]+)?",
        'a workflow is named by its repository and file, such as "acme/shop/.github/workflows/deploy.yml"',
    ),
]
_Ref = Annotated[
    str,
    shaped(
        r"refs/(heads|tags)/[^\s~^:?*\[\\]+",
        'a ref is named in full and without a wildcard, such as "refs/heads/main"',
    ),
]
_RepositoryId = Annotated[
    str,
    shaped(
        "[1-9][0-9]{0,18}",
        'a repository is given by its number in quotes, such as "712345678": a name can be taken by somebody else',
    ),
]
_Repository = Annotated[
    str,
    shaped(r"[A-Za-z0-9_][A-Za-z0-9-]*/[A-Za-z0-9._-]+", 'a repository on GitHub is OWNER/NAME, such as "acme/shop"'),
]


class _Asks(Table):
    """What jobs of one kind may ask for: plans and pushes on these environments of one project."""

    project: Name
    environments: tuple[Name, ...] = Field(min_length=1)


class CiGithub(_Asks):
    """Jobs of one workflow, in one repository, on one ref. All of it must be so; a pull request is never one of the events.

    A `workflow` without `@ref` is the file as it stands on `ref` itself; a reusable one of another branch is named with it.
    """

    repository_id: _RepositoryId
    ref: _Ref
    workflow: _Workflow
    events: tuple[Literal["push", "workflow_dispatch", "schedule"], ...] = Field(
        default=("push", "workflow_dispatch"), min_length=1
    )

    @property
    def job_workflow_ref(self) -> str:
        """The workflow as GitHub names it to others."""
        return self.workflow if "@" in self.workflow else f"{self.workflow}@{self.ref}"


class CiToken(_Asks):
    """Jobs of a CI system that proves nothing but that it has a secret."""

    name: Name
    token: SecretReference


class Ci(Table):
    """Who may ask through the listener. What is not mapped here may ask for nothing."""

    issuer: PlainUrl = ISSUER
    github: tuple[CiGithub, ...] = ()
    tokens: tuple[CiToken, ...] = ()


class Github(Table):
    """A token that may write commit statuses, and nothing else, and which project is which repository there."""

    token: SecretReference
    api_url: PlainUrl = "https://api.github.com"
    repositories: dict[Name, _Repository] = Field(min_length=1)


def check_ci(ci: Ci, *, is_reachable: bool, known: dict[str, set[str]]) -> None:
    """Raise ValueError where nobody could use it, or it names what is not there. `known`: environments by project."""
    if not is_reachable:
        msg = "[ci] needs [listener]: jobs reach the bot through it"
        raise ValueError(msg)
    names = [one.name for one in ci.tokens]
    if len(names) != len(set(names)):
        msg = "ci.tokens has two of one name: each names an actor of its own in the log"
        raise ValueError(msg)
    for one in (*ci.github, *ci.tokens):
        missing = sorted(set(one.environments) - known.get(one.project, set()))
        if missing:
            msg = f"[ci] maps {one.project}/{missing[0]}, which is not configured"
            raise ValueError(msg)
