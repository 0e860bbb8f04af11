"""Deploying functions in a run: keep what runs, say what is sent, send it, and believe only what the project then shows.

Whatever became of an earlier try is looked at first, so a run that died, or lost an answer, goes on where it was.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ops.afterwards import CAN_BE_RESUMED
from ops.asking_again import again_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.requests import fold
from ops.steps import Recorder
from ops.supabase.api_error import once_looked
from ops.supabase.client import ManagementApi
from ops.supabase.client import api_for
from ops.supabase.client import unmanaged_because
from ops.supabase.function_changes import asks_for_token
from ops.supabase.function_changes import contradicts
from ops.supabase.function_changes import live
from ops.supabase.function_changes import metadata_contradicts
from ops.supabase.function_changes import running_json
from ops.supabase.function_log import DONE
from ops.supabase.function_log import UNKNOWN
from ops.supabase.function_log import outcomes_of
from ops.supabase.function_log import planned_functions
from ops.supabase.function_smoke import smoke
from ops.supabase.function_source import FunctionSource
from ops.supabase.kept_functions import Deployed
from ops.supabase.kept_functions import KeptFunctions
from ops.supabase.kept_functions import Recipe
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
    kept: str = ""
    """Not empty: it is what was kept under this hash, and no commit's."""

    @property
    def sha256(self) -> str:
        return self.source.sha256 if self.source is not None else ""

    @property
    def metadata(self) -> FunctionMetadata:
        if self.source is None:
            raise ValueError(self.slug)
        return self.source.metadata(self.verify_jwt)


def deploy_functions(recorder: Recorder, target: Target, sources: Callable[[], Mapping[str, FunctionSource]]) -> None:
    """The step `functions` of a run. `sources` reads what it deploys. Raises OpsError: HEALTH_FAILED where all of it is
    deployed and one does not answer as it should; others when the run must end there."""
    request = recorder.request
    planned = planned_functions(request.plan)
    with recorder.step("functions", {"functions": [str(one["slug"]) for one in planned]}) as result:
        api = api_for(target)
        if api is None:
            message = f"The functions of {target.name} cannot be deployed: {unmanaged_because(target)}."
            raise OpsError(Reason.BAD_CONFIG, message, f"Set it. {_goes_on(recorder)}", exit_code=1)
        found = sources()
        wanted = [_wanted(one, found) for one in planned]
        with api:
            _carry_out(recorder, _Deployment(recorder, target, api, wanted))
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
                details={"failing": [slug for slug, said in answers.items() if not said.is_well]},
            )
        result["said"] = _said(wanted)


def _carry_out(recorder: Recorder, deployment: "_Deployment") -> None:
    """The same failure comes out with what to type then, which is known only once it is written down what became of all."""
    try:
        deployment.carry_out()
    except OpsError as error:
        if error.reason is Reason.PLAN_CHANGED:
            raise
        hint = " ".join(part for part in (error.hint, _goes_on(recorder)) if part)
        raise OpsError(error.reason, error.message, hint, exit_code=error.exit_code, details=error.details) from error


def _goes_on(recorder: Recorder) -> str:
    """What is typed to have the rest: a run that left nothing cannot be gone on with, so it is asked for again."""
    request = fold(recorder.ops.view.events(stream=recorder.request.stream))
    outcomes = outcomes_of(recorder.ops.view.events(stream=request.stream), request.plan)
    is_half = bool(request.applied) or bool({DONE, UNKNOWN} & {*outcomes.values()})
    if request.kind not in CAN_BE_RESUMED or not is_half:
        return f"`{again_of(request)}` asks for it again."
    return f"`resume {request.id}` goes on with what is left."


def _wanted(planned: Mapping[str, Any], sources: Mapping[str, FunctionSource]) -> Wanted:
    slug = str(planned["slug"])
    change, source, kept = str(planned["change"]), sources.get(slug), str(planned.get("kept") or "")
    return Wanted(slug, change, bool(planned["verify_jwt"]), planned["running"], source, kept)


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
        events = recorder.ops.view.events(stream=recorder.request.stream)
        found = [one.data for one in events if one.kind == "function_kept" and one.data]
        self.kept_names = {str(data["slug"]): str(data["sha256"]) for data in found}
        """Also those that a runner kept which died since."""

    def carry_out(self) -> None:
        """Raises OpsError: PLAN_CHANGED where something else runs than was looked at, STOPPED, those of the API."""
        before = self._outcomes()
        left = [one for one in self.wanted if before[one.slug] != DONE]
        at_base = [one for one in left if not self._is_there(one, may_be_ours=before[one.slug] == UNKNOWN)]
        for one in at_base:
            self._keep(one)
        if at_base and self.recorder.stop():
            message = f"{self.recorder.request.id} was stopped before {', '.join(one.slug for one in at_base)}."
            raise OpsError(Reason.STOPPED, message, exit_code=1)
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
        if may_be_ours and not self._lacks(wanted, running):
            self._record_done(wanted, running, found=True)
            return True
        if running_json(running) == wanted.base:
            if may_be_ours:
                self._record_failed(wanted, "not_there", "what ran before still runs")
            return False
        raise self._moved(wanted)

    def _check_still(self, wanted: Sequence[Wanted]) -> None:
        """The last look before something is sent. Raises OpsError(PLAN_CHANGED) where somebody deployed one meanwhile; what
        that one runs is kept, as far as it can be downloaded."""
        if len(wanted) == 1:
            running = {one.slug: self._running(one.slug) for one in wanted}
        else:
            running = {**live(self.api.functions())}
        for one in wanted:
            if running_json(running.get(one.slug)) != one.base:
                with suppress(OpsError):
                    self._keep(one)
                raise self._moved(one)

    def _moved(self, wanted: Wanted) -> OpsError:
        changed = f"the functions on the target ({wanted.slug})"
        return OpsError(
            Reason.PLAN_CHANGED,
            f"Since {self.recorder.request.id} was made, this changed: {changed}. It is left as it is.",
            f"Ask again: `{again_of(self.recorder.request)}`.",
            exit_code=3,
            details={"changed": [changed]},
        )

    def _running(self, slug: str) -> Function | None:
        found = self.api.function(slug)
        return None if found is None or found.status == "REMOVED" else found

    def _lacks(self, wanted: Wanted, running: Function | None) -> str:
        """Why what runs is not what was sent, in words; empty: it is, as another version than before whose files and
        metadata contradict nothing."""
        if wanted.source is None:
            return "it still runs" if running is not None else ""
        if running is None:
            return "it is not there"
        if running_json(running) == wanted.base:
            return "what ran before still runs"
        if asks_for_token(running) != wanted.verify_jwt:
            return "it lets calls without a token in" if wanted.verify_jwt else "it asks for a token"
        odd = metadata_contradicts(running, wanted.source)
        if odd:
            return odd
        body = self.api.function_body(wanted.slug)
        return "it cannot be downloaded" if body is None else contradicts(body, wanted.source)

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
                raise OpsError(Reason.BACKUP_NOT_PROVEN, message, exit_code=1)
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
            self._check_still([one])
            self._intend("bundle", [one])
            self.recorder.progress(f"functions: {one.slug}")
            try:
                bundles.append(self.api.deploy_function(one.slug, one.metadata, _files(one), bundle_only=True))
            except OpsError as error:
                raise once_looked(error) from error  # whatever was built: nothing runs of it before all are started
        self._send("start", wanted, lambda: self.api.put_functions(bundles))

    def _intend(self, how: str, wanted: Sequence[Wanted]) -> None:
        data = {"how": how, "slugs": [one.slug for one in wanted], "sha256": {one.slug: one.sha256 for one in wanted}}
        self.recorder.record("function_deploy_sent", data)

    def _send(self, how: str, wanted: Sequence[Wanted], send: Callable[[], object]) -> None:
        """Say it, do it, and look: what the project shows counts, whatever was answered."""
        self._check_still(wanted)
        self._intend(how, wanted)
        self.recorder.progress(f"functions: {', '.join(one.slug for one in wanted)}")
        failed: OpsError | None = None
        try:
            send()
        except OpsError as error:
            failed = error
        lacking = {one.slug: why for one in wanted if (why := self._lacks_now(one, failed))}
        if not lacking:
            return
        names, found = ", ".join(lacking), "; ".join(dict.fromkeys(lacking.values()))
        if failed is None:
            message = (
                f"{names} is not deployed as asked for: Supabase took it, but what runs is not what was sent: {found}."
            )
            raise OpsError(Reason.API_FAILED, message, exit_code=1)
        outcomes = self._outcomes()
        if any(outcomes[slug] == UNKNOWN for slug in lacking):
            told = failed.message
        else:
            failed = once_looked(failed)
            told = f"{failed.message} Looked at since: {found}."
        raise OpsError(failed.reason, f"{names} is not deployed as asked for: {told}", failed.hint, exit_code=1)

    def _lacks_now(self, wanted: Wanted, failed: OpsError | None) -> str:
        try:
            running = self._running(wanted.slug)
            lacks = self._lacks(wanted, running)
        except OpsError as error:
            self._record_failed(wanted, "unknown", error.message)
            raise OpsError(
                error.reason,
                f"Whether {wanted.slug} is deployed is not known: {(failed or error).message}",
                (failed or error).hint,
                exit_code=1,
            ) from error
        if not lacks:
            self._record_done(wanted, running, found=failed is not None)
        elif running_json(running) == wanted.base:
            self._record_failed(wanted, "not_there", once_looked(failed).message if failed is not None else lacks)
        else:
            message = f"what runs is neither what ran before nor what was sent: {lacks}"
            self._record_failed(wanted, "unknown", message)
        return lacks

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
        if running is not None and wanted.source is not None:
            self._note(wanted, wanted.source, running)

    def _note(self, wanted: Wanted, source: FunctionSource, running: Function) -> None:
        """How this version was made, for whoever puts it back; not where that is a guess of ours."""
        if wanted.kept:
            kept = self.kept.by_sha256(wanted.slug, wanted.kept)
            if kept is None or kept.deployed is None or kept.deployed.recipe is None:
                return
        commit = "" if wanted.kept else self.recorder.request.commit
        recipe = Recipe(source.entrypoint, source.import_map, source.static_patterns)
        self.kept.note_deployed(running, Deployed(wanted.sha256, commit, recipe))

    def _record_failed(self, wanted: Wanted, outcome: str, message: str) -> None:
        self.recorder.record("function_deploy_failed", {"slug": wanted.slug, "outcome": outcome, "message": message})


def _files(wanted: Wanted) -> Sequence[Any]:
    return wanted.source.files if wanted.source is not None else ()
