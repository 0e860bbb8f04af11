"""The step `secrets` of a push: whether the project has every name that the deployed functions read. Sets nothing."""

from ops.errors import OpsError
from ops.errors import Reason
from ops.steps import Recorder
from ops.supabase.client import ManagementApi
from ops.supabase.env_reads import FunctionReads
from ops.supabase.secrets import missing_secrets
from ops.supabase.secrets import told_missing
from ops.targets import Target


def secrets_step(recorder: Recorder, target: Target, api: ManagementApi, reads: FunctionReads) -> None:
    """An outcome per name: there, missing (as people were told), or gone since, which raises OpsError(HEALTH_FAILED)."""
    with recorder.step("secrets", {"reads": list(reads.by_name)}) as result:
        missing = {one.name: one for one in missing_secrets(reads, api.secrets())}
        told = told_missing(recorder.request.hazards)
        gone = [one for name, one in missing.items() if name not in told and not one.is_optional]
        result["secrets"] = [
            {"name": name, "outcome": _outcome(name in missing, is_told=name in told or read.is_optional)}
            for name, read in reads.by_name.items()
        ]
        if gone:
            names = ", ".join(one.name for one in gone)
            raise OpsError(
                Reason.HEALTH_FAILED,
                f"Everything else is on {target.name}, but its functions read {names}, which was there when this was planned "
                "and is not set now.",
                f"Set it: `secrets {target.environment} set {gone[0].name}`. Nothing has to be deployed again.",
                exit_code=1,
            )
        result["said"] = _said(len(reads.by_name), list(missing))


def _outcome(is_missing: bool, *, is_told: bool) -> str:
    if not is_missing:
        return "there"
    return "missing" if is_told else "gone"


def _said(count: int, missing: list[str]) -> str:
    if not count:
        return "the functions read none"
    if not missing:
        return "the one name that they read is there" if count == 1 else f"all {count} names that they read are there"
    there = f"{count - len(missing)} of {count} names that they read are there"
    return f"{there}; not set, as the plan says: {', '.join(missing)}"
