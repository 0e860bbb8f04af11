"""Something to approve, when a visitor breaks things: the request that waits on prod, or a new one that Ana asks for."""

from datetime import UTC
from datetime import datetime
from datetime import timedelta

from audit import Reader
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.status import Status
from sandbox.example import commit_migration
from sandbox.page_world import BadRequestError
from sandbox.page_world import World
from sandbox.slack_answer import Answer
from sandbox.slack_answer import until

ASK_SECONDS = 25.0
COLUMNS = ("gift_note", "delivery_window", "packing_slip", "tracking_code", "invoice_number", "coupon", "pickup_point")
_VERSIONS = "SELECT version FROM supabase_migrations.schema_migrations"


def request_to_break(world: World) -> tuple[Request, str]:
    """A request that waits on prod and can be approved, and what had to be done to have one, in a sentence.

    Raises BadRequestError when nobody can be asked: the bot or Slack is down, or prod is busy.
    """
    waits = waiting(world)
    if waits is not None:
        return _approvable(world, waits.id), ""
    if world.bot_pid() is None:
        raise BadRequestError("The bot is down, so nobody can ask for anything. Start it first.")
    if world.slack.down:
        raise BadRequestError("Slack is down, so nobody can ask for anything. Switch it on first.")
    told = "" if has_pending(world) else f"{commit_another(world)} "
    answer = world.slack.say("U0ANA", "/migrate push prod")

    def is_settled() -> bool:
        return waiting(world) is not None or not all(map(_is_progress, answer.texts()))

    until(is_settled, ASK_SECONDS)
    asked = waiting(world)
    if asked is None:
        raise BadRequestError(f"Nothing waits on prod, and asking for a push did not help: {_why(answer)}"[:400])
    return _approvable(world, asked.id), f"{told}Ana asked for a push to prod: {asked.id}. "


def _why(answer: Answer) -> str:
    """The sentence of a refusal that says why, such as who locked prod; its headline says only that nothing was done."""
    lines = [line for text in answer.texts() if not _is_progress(text) for line in text.split("\n") if line]
    return "; ".join(lines[1:2] or lines) or "Countersign did not answer in time."


def _is_progress(text: str) -> bool:
    return text.startswith("Working on it")


def commit_another(world: World) -> str:
    """Mia commits one more migration for public.orders on main and develop; said in a sentence."""
    folder = world.stage.repository / "supabase/migrations"
    names = sorted(path.name for path in folder.iterdir())
    column = next((one for one in COLUMNS if not any(one in name for name in names)), f"remark_{len(names)}")
    at = datetime.strptime(names[-1][:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC) + timedelta(days=1)
    name = f"{at:%Y%m%d%H%M%S}_add_{column}.sql"
    commit_migration(world.stage.repository, name, f"alter table public.orders add column {column} text;\n", "Mia")
    return f"Mia committed {name} to main."


def has_pending(world: World) -> bool:
    """Whether main holds a migration that prod lacks."""
    applied = {str(row[0]) for row in world.stage.sql("prod", _VERSIONS)}
    folder = world.stage.repository / "supabase/migrations"
    return any(path.name[:14] not in applied for path in folder.iterdir())


def running(world: World) -> Request | None:
    """The request that runs on prod just now."""
    return next((one for one in _open(world) if one.status is Status.RUNNING), None)


def _open(world: World) -> list[Request]:
    return [one for one in open_requests(Reader(world.stage.log_path)) if one.environment == "prod"]


def waiting(world: World) -> Request | None:
    """The newest request that waits on prod."""
    now = world.clock.now()
    return next((one for one in reversed(_open(world)) if one.status_at(now) is Status.WAITING), None)


def _approvable(world: World, number: str) -> Request:
    """The request once its SQL is in its thread, so that its card has the Approve button."""
    reader = Reader(world.stage.log_path)

    def look() -> Request | None:
        found = find_request(reader, number)
        return found if found.shown is not None or found.status is not Status.WAITING else None

    found = until(look, ASK_SECONDS)
    if found is None or found.status is not Status.WAITING:
        raise BadRequestError(f"{number} cannot be approved just now; look at its card.")
    return found
