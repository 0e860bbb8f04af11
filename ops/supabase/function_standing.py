"""How functions stand beside what we did: what was deployed through us last, whether that runs, what a request deployed."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from audit import Event
from audit import Query
from audit import View
from ops.hazards.function_rules import FUNCTION_ROLLED_BACK
from ops.hazards.model import Hazard
from ops.requests import Request
from ops.requests import find_request
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_log import DONE
from ops.supabase.function_log import LEFT
from ops.supabase.function_log import outcomes_of
from ops.supabase.models import Function
from ops.targets import Target

if TYPE_CHECKING:
    from ops.plan import Plan


@dataclass(frozen=True)
class Put:
    """The last deployment of a function that the log knows. `version` None: it was deleted. `before` is the SHA-256 of the
    files that we had deployed before it, empty where the log knows none."""

    slug: str
    request: str
    version: int | None
    ezbr_sha256: str | None
    before: str

    def runs(self, running: Function | None) -> bool:
        """Whether this is what runs. A hash that one of both does not tell says nothing."""
        if running is None or self.version is None:
            return running is None and self.version is None
        hashes = {self.ezbr_sha256, running.ezbr_sha256} - {None, ""}
        return running.version == self.version and len(hashes) < 2


@dataclass(frozen=True)
class Standing:
    """How one function differs from what we did. `outside`: the request behind which somebody else changed it;
    `rolled_back`: the one that put back what it ran before, and `is_same`: a push would bring the very files again that
    it took back. Empty where it is not so."""

    outside: str = ""
    rolled_back: str = ""
    is_same: bool = False

    @property
    def words(self) -> str:
        if self.outside:
            return f"changed outside since {self.outside}"
        return f"rolled back by {self.rolled_back}" if self.rolled_back else ""


AS_WE_LEFT_IT = Standing()


def last_puts(view: View, project: str, environment: str) -> dict[str, Put]:
    """By function; those that were never deployed through us are not among them."""
    query = Query(project=project, environment=environment, kinds=("function_deployed",))
    found: dict[str, Put] = {}
    sha256: dict[str, str] = {}
    for event in _of_requests(view.find(query)):
        data = event.data or {}
        slug = str(data["slug"])
        found[slug] = Put(slug, event.request or "", data["version"], data["ezbr_sha256"], sha256.get(slug, ""))
        sha256[slug] = str(data["sha256"])
    return found


def standing_of(view: View, target: Target, changes: Iterable[FunctionChange]) -> dict[str, Standing]:
    """Of each function that does not stand as we left it, or that we put back on purpose. Reads the log alone."""
    puts = last_puts(view, target.project, target.environment)
    found = {}
    for change in changes:
        put = puts.get(change.slug)
        if put is None:
            continue
        if not put.runs(change.running):
            found[change.slug] = Standing(outside=put.request)
        elif change.acts and _is_rollback(find_request(view, put.request)):
            found[change.slug] = Standing(rolled_back=put.request, is_same=change.sha256 == put.before)
    return found


def with_rolled_back(view: View, plan: "Plan") -> "Plan":
    """The plan with a caution for each function that was put back on purpose, and that it deploys again."""
    standing = standing_of(view, plan.target, plan.deployed)
    hazards = []
    for slug, one in standing.items():
        if one.rolled_back:
            which = (
                "the very files that were taken back" if one.is_same else "other files than those that were taken back"
            )
            said = f"{one.rolled_back} rolled {slug} back to what it ran before; this deploys it again, with {which}."
            rule = FUNCTION_ROLLED_BACK
            place = f"functions/{slug}"
            hazards.append(Hazard(rule.id, rule.hazard_class, rule.level, place, 1, said, rule.safe_way))
    return replace(plan, hazards=(*plan.hazards, *hazards)) if hazards else plan


@dataclass(frozen=True)
class Stays:
    """A function that a request deployed, and that undoing its migrations leaves as it is.

    `is_known`: that it was deployed is certain. `since`: the request that deployed it again after it, empty for none.
    `ran_before`: something of it was kept, and can be put back.
    """

    slug: str
    change: str
    is_known: bool
    since: str
    ran_before: bool


def functions_that_stay(view: View, requests: Sequence[Request]) -> tuple[Stays, ...]:
    """What these requests (one, and what it went on with) deployed, or may have, by name."""
    found: dict[str, Stays] = {}
    for request in requests:
        events = view.events(stream=request.stream)
        outcomes = outcomes_of(events, request.plan)
        kept = {str((one.data or {})["slug"]) for one in events if one.kind == "function_kept" and one.data}
        for planned in request.plan.get("functions") or ():
            slug = str(planned["slug"])
            if outcomes.get(slug, LEFT) == LEFT or slug in found:
                continue
            found[slug] = Stays(slug, str(planned["change"]), outcomes[slug] == DONE, "", slug in kept)
    if not found:
        return ()
    mine = {one.id for one in requests}
    puts = last_puts(view, requests[0].project, requests[0].environment)
    for slug, one in found.items():
        if one.is_known and puts[slug].request not in mine:
            found[slug] = replace(one, since=puts[slug].request)
    return tuple(found[slug] for slug in sorted(found))


def _of_requests(events: Iterable[Event]) -> Iterable[Event]:
    """Each once, though the target's stream may hold it too."""
    return (event for event in events if event.stream.startswith("request:") and event.data)


def _is_rollback(request: Request) -> bool:
    return request.kind == "functions" and (request.plan.get("facts") or {}).get("how") == "rollback"
