"""The steps of a run behind its migrations: the functions, then whether the secrets that they read are there."""

from collections.abc import Callable
from functools import cache

from ops.steps import Recorder
from ops.supabase.client import need_api
from ops.supabase.function_deploy import deploy_functions
from ops.supabase.function_wanted import wanted_sources
from ops.supabase.secret_steps import secrets_step
from ops.supabase.secrets import reads_in_sources
from ops.targets import Target


def function_steps(recorder: Recorder, target: Target) -> tuple[Callable[[], None], Callable[[], None]]:
    """Both in order; what they deploy is read once. Each raises OpsError as `deploy_functions` and `secrets_step` do."""
    sources = cache(lambda: wanted_sources(recorder.ops, recorder.request, target))

    def look_at_secrets() -> None:
        if sources():
            with need_api(target) as api:
                secrets_step(recorder, target, api, reads_in_sources(sources().values()))

    return lambda: deploy_functions(recorder, target, sources), look_at_secrets
