"""`health [prod]`: whether everything works now: the services of the Supabase project, REST, Auth, each function, the tables,
row level security, rows that can be written (and are rolled back), and the checks of the configuration.

Each check holds, fails, or is unknown: what could not be asked is not called bad. One that fails ends it with exit code 1.
The project's parts are looked at where `project_ref` and an access token are set; the page says what is left out.
With `health_every = "5m"` the bot looks by itself and tells the channel what changed, once.

Everybody who may speak to the bot may look. Nothing stays behind of what is written.

Examples:
    health           every environment
    health prod      one of them

See also: status, tables
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from commands.health_page import checked_part
from commands.health_page import checks_words
from commands.page import Line
from commands.page import Page
from commands.page import Part
from commands.page import Tone
from commands.page_words import plural
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.health import check_all
from ops.health_checked import Checked
from ops.layer import Ops
from ops.supabase.client import unmanaged_because
from ops.targets import Target
from ops.targets import all_targets
from ops.targets import find_target

USAGE = "health [ENVIRONMENT]"
SUMMARY = "whether everything works now: database, REST, Auth, functions, tables"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

AT_ONCE = 4


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`health` takes one environment or none.", f"Type `{USAGE}`.")
    targets = [find_target(ops.settings, said.arguments[0])] if said.arguments else all_targets(ops.settings)
    with ThreadPoolExecutor(AT_ONCE, "health") as pool:
        found = dict(zip((one.name for one in targets), pool.map(check_all, targets), strict=True))
    data = {
        "targets": [
            {
                "target": target.name,
                "checks": [{**one.to_json(), "state": one.state} for one in found[target.name]],
                "left_out": unmanaged_because(target) or None,
            }
            for target in targets
        ]
    }
    bad = [one for checks in found.values() for one in checks if one.state == "fails"]
    page = _page(targets, found, len(bad))
    if not bad:
        return Reply(page, data)
    told = {"status": "failed", "reason": Reason.HEALTH_FAILED.value, "message": page.headline, "hint": ""}
    return Reply(page, {**data, **told}, ok=False, exit_code=1)


def _page(targets: Sequence[Target], found: dict[str, tuple[Checked, ...]], bad: int) -> Page:
    every = [one for checks in found.values() for one in checks]
    where = targets[0].name if len(targets) == 1 else plural(len(targets), "environment")
    body: list[Part] = [checked_part(target.name, found[target.name]) for target in targets]
    small: list[Line] = [
        (f"{target.name}: the parts of its project are left out, for {because}. ",)
        for target in targets
        if (because := unmanaged_because(target))
    ]
    tone: Tone = "bad" if bad else "good" if every and all(one.ok for one in every) else "plain"
    return Page(
        f"{where}: {checks_words(every)}",
        body=body,
        small=tuple(span for line in small for span in line),
        tone=tone,
    )
