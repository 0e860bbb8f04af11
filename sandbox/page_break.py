"""What a visitor may break, and what Countersign can then be seen to do about it."""

from collections.abc import Callable
from typing import NamedTuple

import psycopg

from sandbox.page_ask import commit_another
from sandbox.page_ask import request_to_break
from sandbox.page_ask import running
from sandbox.page_world import BadRequestError
from sandbox.page_world import World
from sandbox.slack_answer import until
from sandbox.stage import git

RECONNECT_SECONDS = 10.0
HOTFIXES = """
SELECT count(*) FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = 'orders' AND column_name LIKE 'hotfix%'
"""


class Broken(NamedTuple):
    """What was done, and what to look at now; a sentence or two each."""

    told: str
    watch: str


def break_something(world: World, what: str) -> dict[str, str]:
    """Do one of BREAKS, one at a time. Where it cannot be done now, `told` says why and nothing has changed."""
    with world.break_lock:
        try:
            return BREAKS[what](world)._asdict()
        except BadRequestError as error:
            return {"told": f"Nothing was broken. {error}", "watch": ""}


def _kill_bot(world: World) -> Broken:
    run = running(world)
    if not world.kill_bot():
        return Broken("The bot is down already.", "Start it again.")
    while_running = f", while {run.id} was running" if run else ""
    return Broken(
        f"The bot was killed with kill -9{while_running}.",
        "Type /migrate status: Slack can reach nobody and says so. Then start the bot: it reads the log, finds out what "
        "is on the database, and goes on or says what it cannot know. Nothing runs twice.",
    )


def _start_bot(world: World) -> Broken:
    is_ready = world.start_bot()
    return Broken(
        "The bot runs." if is_ready else "The bot has started and waits until Slack answers it.",
        "What it had acknowledged and not answered is answered now, and a run that it left is taken up.",
    )


def _drop_socket(world: World) -> Broken:
    before = len(world.slack.sockets.live)
    if not before:
        return Broken("There is no connection to break.", "Is the bot up, and Slack?")
    world.slack.abort_sockets()
    until(lambda: len(world.slack.sockets.live) < before, 1.0)
    return Broken(
        f"{before} connection{'s' if before > 1 else ''} between Slack and the bot broke without a word.",
        "The bot connects again by itself within seconds. A command in the very moment in between gets Slack's own "
        "error; nothing that was acknowledged is lost.",
    )


def _edit_migration(world: World) -> Broken:
    request, told = request_to_break(world)
    filename = str(request.files[-1]["filename"])
    repository = world.stage.repository
    git(repository, "checkout", "--quiet", "main")
    git(repository, "reset", "--quiet", "--hard", request.commit)
    with (repository / "supabase/migrations" / filename).open("a") as file:
        file.write("\ndrop table if exists public.refunds;\n")
    git(
        repository,
        "-c",
        "user.name=Mia",
        "-c",
        "user.email=mia@acme.example",
        "commit",
        "--quiet",
        "--all",
        "--amend",
        "--no-edit",
    )
    git(repository, "branch", "--force", "develop")
    return Broken(
        f"{told}Mia rewrote {filename} after {request.id} was asked for, so that it also drops the table "
        "public.refunds, and forced it onto main.",
        f"As Ben, press Approve on {request.id}: the commit that was asked for is no longer on main, so {request.id} is "
        "superseded and nothing runs. A new /migrate plan prod shows the drop as a hazard.",
    )


def _change_prod(world: World) -> Broken:
    request, told = request_to_break(world)
    number = world.stage.sql("prod", HOTFIXES)[0][0] + 1
    statement = f"ALTER TABLE public.orders ADD COLUMN hotfix_{number} text"
    try:
        world.stage.sql("prod", f"SET lock_timeout = '2s'; {statement}")
    except psycopg.errors.LockNotAvailable:
        raise BadRequestError("Another session holds public.orders. Release it first.") from None
    return Broken(
        f"{told}Somebody ran {statement} on prod by hand.",
        f"As Ben, press Approve on {request.id}: prod's schema is not the one that was asked about, so {request.id} is "
        "superseded, says what changed, and nothing runs.",
    )


def _lock_table(world: World) -> Broken:
    if world.reports is not None:
        return Broken("The session “reports” holds public.orders already.", "Release it when you have seen enough.")
    request, told = request_to_break(world)
    connection = psycopg.connect(world.stage.postgres.url(world.stage.databases["prod"]), application_name="reports")
    connection.execute("SELECT count(*) FROM public.orders")
    world.reports = connection
    return Broken(
        f"{told}A session called “reports” reads public.orders on prod and leaves its transaction open.",
        f"As Ben, press Approve on {request.id}. The run tries for its lock for a tenth of a second at a time, so that "
        "nobody queues behind it, and its card names “reports” as who is in the way. Then release the table.",
    )


def _release_table(world: World) -> Broken:
    if world.reports is None:
        return Broken("Nobody holds the table.", "")
    world.reports.close()
    world.reports = None
    return Broken("The session “reports” has ended.", "A run that waited for the table goes on by itself.")


def _new_migration(world: World) -> Broken:
    return Broken(commit_another(world), "As Ana, type /migrate plan prod.")


BREAKS: dict[str, Callable[[World], Broken]] = {
    "kill_bot": _kill_bot,
    "start_bot": _start_bot,
    "drop_socket": _drop_socket,
    "edit_migration": _edit_migration,
    "change_prod": _change_prod,
    "lock_table": _lock_table,
    "release_table": _release_table,
    "new_migration": _new_migration,
}
"""By the word that the page sends."""
