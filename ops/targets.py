"""Which project and environment a person means. A write never guesses."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ops.environment import Environment
from ops.errors import OpsError
from ops.errors import Reason
from ops.setting_values import LOGIN_SCHEME
from ops.settings import Project
from ops.settings import Settings
from ops.settings import resolve_secret


@dataclass(frozen=True)
class Target:
    """One environment of one project, with its settings. `name` is `shop/prod`."""

    project: str
    environment: str
    project_settings: Project
    settings: Environment
    all_settings: Settings

    @property
    def name(self) -> str:
        return f"{self.project}/{self.environment}"

    @property
    def stream(self) -> str:
        return f"target:{self.name}"

    @property
    def access_token(self) -> str:
        """Where the token for the Management API is found: a reference, not the token."""
        return self.project_settings.access_token or self.all_settings.supabase.access_token

    def database_url(self) -> str:
        """The URL with its password: a secret. Raises OpsError(BAD_CONFIG) when it is not set.

        With temporary logins another one after some minutes, so it is asked for where it is needed, and not kept; then
        ApiError as well.
        """
        if self.settings.database_url.startswith(LOGIN_SCHEME):
            from ops.supabase.login import login_url  # it needs what a target is

            return login_url(self)
        return resolve_secret(self.settings.database_url, folder=self.all_settings.folder)


def all_targets(settings: Settings) -> list[Target]:
    """Every configured target, in the order of the file."""
    return [
        Target(project, environment, tables, found, settings)
        for project, tables in settings.projects.items()
        for environment, found in tables.environments.items()
    ]


def target_names(settings: Settings) -> frozenset[str]:
    """Every name that some target goes by: `shop/prod`, and `prod`."""
    return frozenset(name for one in all_targets(settings) for name in (one.name, one.environment))


def find_target(settings: Settings, text: str) -> Target:
    """The target that `prod` or `shop/prod` names. Raises OpsError(UNKNOWN_ENVIRONMENT) with the nearest name."""
    targets = all_targets(settings)
    wanted = text.strip().lower()
    named = [target for target in targets if target.name == wanted]
    if not named and "/" not in wanted:
        named = [target for target in targets if target.environment == wanted]
    if len(named) == 1:
        return named[0]
    names = [target.name for target in targets]
    if named:
        raise OpsError(
            Reason.ENVIRONMENT_NEEDED,
            f"{text} is an environment of several projects: {', '.join(target.name for target in named)}.",
            "Say which one, with its project.",
        )
    known = [target.environment for target in targets] if len(settings.projects) == 1 else names
    near = nearest(wanted, [*known, *names])
    raise OpsError(
        Reason.UNKNOWN_ENVIRONMENT,
        f"There is no environment {text!r}." + (f" Did you mean {near}?" if near else ""),
        f"Choose one of: {', '.join(known)}.",
    )


def target_of(settings: Settings, project: str, environment: str) -> Target:
    """The target of a request. Raises OpsError(UNKNOWN_ENVIRONMENT) when the configuration no longer has it."""
    return find_target(settings, f"{project}/{environment}")


def nearest(wanted: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant, or None when nothing is near."""
    found = difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=0.6)
    return found[0] if found else None
