"""Deploying functions in a run: keep what runs, say what is sent, send it, and believe only what the project then shows.

Whatever became of an earlier try is looked at first, so a run that died, or lost an answer, goes on where it was.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ops.afterwards import CAN_BE_RESUMED
from ops.asking_again import again_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.steps import Recorder
from ops.supabase.client import ManagementApi
from ops.supabase.client import api_for
from ops.supabase.client import unmanaged_because
from ops.supabase.function_changes import asks_for_token
from ops.supabase.function_changes import contradicts
from ops.supabase.function_changes import running_json
from ops.supabase.function_log import DONE
from ops.supabase.function_log import UNKNOWN
from ops.supabase.function_log import outcomes_of
from ops.supabase.function_log import planned_functions
from ops.supabase.function_smoke import smoke
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_wanted import wanted_sources
from ops.supabase.kept_functions import Deployed
from ops.supabase.kept_functions import KeptFunctions
from ops.supabase.models import Function
from ops.supabase.models import FunctionMetadata
from ops.targets import Target


@dataclass(frozen=True)
class Wanted:
    """One function of the plan. `base`: what ran when it was asked for, as JSON; `source` None: it is to be deleted."""

    slug: str
    change: str
    verify_jwt: bool
    base: Mapping[str, Any] | None
    source: FunctionSource | None
    is_kept: bool = False
    """It is what was kept, and no commit's."""

    @property
    def sha256(self) -> str:
        return self.source.sha256 if self.source is not None else ""

    @property
    def metadata(self) -> FunctionMetadata:
        if self.source is None:
            raise ValueError(self.slug)
        return self.source.metadata(self.verify_jwt)


def deploy_functions(recorder: Recorder, target: Target) -> None:
    """The step `functions` of a run; nothing where its plan has none. Raises OpsError when the run must end there."""
    request = recorder.request
    planned = planned_functions(request.plan)
    if not planned:
        return
    with recorder.step("functions", {"functions": [str(one["slug"]) for one in planned]}) as result:
        api = api_for(target)
        if api is None:
            message = f"The functions of {target.name} cannot be deployed: {unmanaged_because(target)}."
            raise OpsError(Reason.BAD_CONFIG, message, "Set it, then go on with `resume`.", exit_code=1)
        sources = wanted_sources(recorder.ops, request, target)
        wanted = [_wanted(one, sources) for one in planned]
        with api:
            _Deployment(recorder, target, api, wanted).carry_out()
        answers = {one.slug: smoke(target, one.slug, one.verify_jwt) for one in wanted if one.source is not None}
        result["functions"] = {slug: said.words for slug, said in answers.items()}
        bad = [f"{slug} {said.words}" for slug, said in answers.items() if not said.is_well]
        if bad:
            raise OpsError(
                Reason.HEALTH_FAILED,
                f"Every function is deployed on {target.name}, but called once: {'; '.join(bad)}.",
                f"Look with `functions {target.environment} logs NAME`; "
                f"`functions {target.environment} rollback NAME` asks for what ran before.",
                exit_code=1,
            )
        result["said"] = _said(wanted)


def _wanted(planned: Mapping[str, Any], sources: Mapping[str, FunctionSource]) -> Wanted:
    slug = str(planned["slug"])
    change, source, is_kept = str(planned["change"]), sources.get(slug), bool(planned.get("kept"))
    return Wanted(slug, change, bool(planned["verify_jwt"]), planned["running"], source, is_kept)


def _said(wanted: Sequence[Wanted]) -> str:
    deployed = [one.slug for one in wanted if one.source is not None]
    deleted = [one.slug for one in wanted if one.source is None]
    said = [f"deployed {', '.join(deployed)}"] if deployed else []
    return "; ".join([*said, *([f"deleted {', '.join(deleted)}"] if deleted else [])])


class _Deployment:
    """Some functions on their way to one project."""

    def __init__(self, recorder: Recorder, target: Target, api: ManagementApi, wanted: Sequence[Wanted]) -> None:
        self.recorder = recorder
        self.target = target
        self.api = api
        self.wanted = wanted
        self.kept = KeptFunctions.of(target)
        self.kept_names: dict[str, str] = {}

    def carry_out(self) -> None:
        """Raises OpsError: PLAN_CHANGED where something else runs than was looked at, STOPPED, those of the API."""
        before = self._outcomes()
        left = [one for one in self.wanted if before[one.slug] != DONE]
        at_base = [one for one in left if not self._is_there(one, may_be_ours=before[one.slug] == UNKNOWN)]
        for one in at_base:
            self._keep(one)
        if at_base and self.recorder.stop():
            message = f"{self.recorder.request.id} was stopped before {', '.join(one.slug for one in at_base)}."
            raise OpsError(Reason.STOPPED, message, self._goes_on(), exit_code=1)
        deployed = [one for one in at_base if one.source is not None]
        if deployed:
            self._deploy(deployed)
        for one in at_base:
            if one.source is None:
                self._send("delete", [one], partial(self.api.delete_function, one.slug))

    def _outcomes(self) -> dict[str, str]:
        request = self.recorder.request
        return outcomes_of(self.recorder.ops.view.events(stream=request.stream), request.plan)

    def _is_there(self, wanted: Wanted, *, may_be_ours: bool) -> bool:
        """Whether the function is as it is to be; then that is written down. Raises OpsError(PLAN_CHANGED) where it is
        neither that nor what it was when it was asked for."""
        running = self._running(wanted.slug)
        if may_be_ours and self._is_done(wanted, running):
            self._record_done(wanted, running, found=True)
            return True
        if running_json(running) == wanted.base:
            if may_be_ours:
                self._record_failed(wanted, "not_there", "what ran before still runs")
            return False
        changed = f"the functions on the target ({wanted.slug})"
        raise OpsError(
            Reason.PLAN_CHANGED,
            f"Since {self.recorder.request.id} was made, this changed: {changed}. It is left as it is.",
            f"Ask again: `{again_of(self.recorder.request)}`.",
            exit_code=3,
            details={"changed": [changed]},
        )

    def _running(self, slug: str) -> Function | None:
        found = self.api.function(slug)
        return None if found is None or found.status == "REMOVED" else found

    def _is_done(self, wanted: Wanted, running: Function | None) -> bool:
        """Whether what runs is what was sent: another version than before, whose files contradict nothing."""
        if wanted.source is None or running is None:
            return wanted.source is None and running is None
        if running_json(running) == wanted.base or asks_for_token(running) != wanted.verify_jwt:
            return False
        body = self.api.function_body(wanted.slug)
        return body is not None and not contradicts(body, wanted.source)

    def _keep(self, wanted: Wanted) -> None:
        """What runs is on our disk before another one takes its place, or nothing takes it."""
        running = self._running(wanted.slug)
        if running is None:
            return
        kept = self.kept.find(running)
        if kept is None:
            body = self.api.function_body(wanted.slug)
            if body is None:
                message = (
                    f"What {wanted.slug} runs cannot be downloaded, so there would be no way back. It is left as it is."
                )
                raise OpsError(Reason.BACKUP_NOT_PROVEN, message, self._goes_on(), exit_code=1)
            kept = self.kept.keep(running, body)
        self.kept_names[wanted.slug] = kept.sha256
        data = {"slug": wanted.slug, "version": running.version, "ezbr_sha256": running.ezbr_sha256}
        self.recorder.record("function_kept", {**data, "sha256": kept.sha256, "files": len(kept.body.files)})

    def _deploy(self, wanted: Sequence[Wanted]) -> None:
        """As the CLI does: one is built and started at once; of several each is built, then all are started together."""
        if len(wanted) == 1:
            one = wanted[0]
            self._send("deploy", wanted, lambda: self.api.deploy_function(one.slug, one.metadata, _files(one)))
            return
        bundles = []
        for one in wanted:
            self._intend("bundle", [one])
            self.recorder.progress(f"functions: {one.slug}")
            bundles.append(self.api.deploy_function(one.slug, one.metadata, _files(one), bundle_only=True))
        self._send("start", wanted, lambda: self.api.put_functions(bundles))

    def _intend(self, how: str, wanted: Sequence[Wanted]) -> None:
        data = {"how": how, "slugs": [one.slug for one in wanted], "sha256": {one.slug: one.sha256 for one in wanted}}
        self.recorder.record("function_deploy_sent", data)

    def _send(self, how: str, wanted: Sequence[Wanted], send: Callable[[], object]) -> None:
        """Say it, do it, and look: what the project shows counts, whatever was answered."""
        self._intend(how, wanted)
        self.recorder.progress(f"functions: {', '.join(one.slug for one in wanted)}")
        failed: OpsError | None = None
        try:
            send()
        except OpsError as error:
            failed = error
        missing = [one for one in wanted if not self._verified(one, failed)]
        if missing:
            names = ", ".join(one.slug for one in missing)
            said = failed.message if failed is not None else "Supabase took it, but what runs is not what was sent."
            reason = failed.reason if failed is not None else Reason.API_FAILED
            raise OpsError(reason, f"{names} is not deployed: {said}", self._hint(failed), exit_code=1)

    def _verified(self, wanted: Wanted, failed: OpsError | None) -> bool:
        try:
            running = self._running(wanted.slug)
            is_done = self._is_done(wanted, running)
        except OpsError as error:
            self._record_failed(wanted, "unknown", error.message)
            raise OpsError(
                error.reason,
                f"Whether {wanted.slug} is deployed is not known: {(failed or error).message}",
                self._hint(failed or error),
                exit_code=1,
            ) from error
        if is_done:
            self._record_done(wanted, running, found=failed is not None)
        elif running_json(running) == wanted.base:
            self._record_failed(wanted, "not_there", failed.message if failed else "what ran before still runs")
        else:
            self._record_failed(wanted, "unknown", "what runs is neither what ran before nor what was sent")
        return is_done

    def _record_done(self, wanted: Wanted, running: Function | None, *, found: bool) -> None:
        data = {
            "slug": wanted.slug,
            "change": wanted.change,
            "sha256": wanted.sha256,
            "version": running.version if running is not None else None,
            "ezbr_sha256": running.ezbr_sha256 if running is not None else None,
            "kept": self.kept_names.get(wanted.slug, ""),
            "found": found,
        }
        self.recorder.record("function_deployed", data)
        if running is not None and not wanted.is_kept:
            self.kept.note_deployed(running, Deployed(wanted.sha256, self.recorder.request.commit))

    def _record_failed(self, wanted: Wanted, outcome: str, message: str) -> None:
        self.recorder.record("function_deploy_failed", {"slug": wanted.slug, "outcome": outcome, "message": message})

    def _goes_on(self) -> str:
        request = self.recorder.request
        if request.kind not in CAN_BE_RESUMED:
            return f"`{again_of(request)}` asks for it again."
        return f"`resume {request.id}` goes on with what is left."

    def _hint(self, failed: OpsError | None) -> str:
        return " ".join(part for part in (failed.hint if failed is not None else "", self._goes_on()) if part)


def _files(wanted: Wanted) -> Sequence[Any]:
    return wanted.source.files if wanted.source is not None else ()
