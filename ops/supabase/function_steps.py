"""The steps of a run behind its migrations: the functions, then whether the secrets that they read are there."""

from ops.steps import Recorder
from ops.supabase.client import need_api
from ops.supabase.function_deploy import deploy_functions
from ops.supabase.function_wanted import wanted_sources
from ops.supabase.secret_steps import secrets_step
from ops.supabase.secrets import reads_in_sources
from ops.targets import Target


def deploy_and_look(recorder: Recorder, target: Target) -> None:
    """Raises OpsError when the run must end there."""
    deploy_functions(recorder, target)
    sources = wanted_sources(recorder.ops, recorder.request, target)
    if sources:
        with need_api(target) as api:
            secrets_step(recorder, target, api, reads_in_sources(sources.values()))
