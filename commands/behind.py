"""Who started the CI job that a line is said in, as the job's environment says; see `ops.behind` for what that means."""

from collections.abc import Mapping

_VARIABLES = ("GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR")
"""Who started the workflow first, and who started this run of it again.

https://docs.github.com/en/actions/reference/workflows-and-actions/variables
"""

MOST = 4
LENGTH = 100
"""So many logins of so many letters are taken down."""


def logins_behind(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The logins of those who started the GitHub job that this process runs in; empty where it runs in none.

    A job that names nobody has somebody behind it all the same, who is not known.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return ()
    named = (environment.get(name, "").strip()[:LENGTH] for name in _VARIABLES)
    return tuple(dict.fromkeys(login for login in named if login)) or ("whoever started the job",)
