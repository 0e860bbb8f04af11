"""`population --from 2026-Q3 --to 2026-Q3`: every production change of a period, and what proves that none is missing.

Changes by requests are in it and those from outside. `--from` and `--to` take a day, a month, a quarter or a year; from the
start of the one to the end of the other. A sample is drawn by `--seed`, so that anybody can draw it again.

Auditors may ask for it, and approvers. Who asked for which is in the log. At the terminal it is `audit population`, which
writes it as CSV as well.

Examples:
    population --from 2026-Q3 --to 2026-Q3                          a quarter
    population --from 2026-07 --to 2026-09 --sample 25 --seed lee    25 of them, to look at closely

See also: history, export, evidence
"""

import io
from argparse import Namespace
from typing import Any

from audit import Draft
from commands.auditing.asked import Asked
from commands.auditing.population import run as listed
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.auditors import check_may_audit
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops

USAGE = "population --from TIME --to TIME [--env ENVIRONMENT] [--sample NUMBER] [--seed TEXT]"
SUMMARY = "list every production change of a period, none missing"
GROUP = Group.LOG
FRONTS = frozenset({Front.SLACK})
OPTIONS = {
    "from": Option(".+", needed=True, takes="a day, month, quarter or year", help="from its start"),
    "to": Option(".+", needed=True, takes="a day, month, quarter or year", help="to its end"),
    "env": Option(".+", needed=True, takes="an environment", help="of one only, prod or shop/prod"),
    "sample": Option("[1-9][0-9]{0,5}", needed=True, takes="a number from 1 up", help="draw so many of them"),
    "seed": Option(".+", needed=True, takes="any text", help="draws the same ones again; 1 if not said"),
}


def run(ops: Ops, said: Said) -> Reply:
    check_may_audit(ops, said.actor)
    if said.arguments or not {"from", "to"} <= said.options.keys():
        raise OpsError(Reason.BAD_USAGE, "It takes a period: --from and --to.", f"Type `{USAGE}`.")
    sample = said.options.get("sample")
    arguments = Namespace(
        action="population",
        to=said.options["to"],
        env=said.options.get("env"),
        sample=int(sample) if sample else None,
        seed=said.options.get("seed", "1"),
        verify=False,
        offline=False,
        format=None,
        **{"from": said.options["from"]},
    )

    def write_down(kind: str, data: dict[str, Any]) -> None:
        ops.log.append([Draft(kind=kind, actor=said.actor.id, stream="all", data=data)], id=f"{said.act}:{kind}")

    said.progress("counting the changes")
    return listed(Asked(ops.settings, arguments, -1, io.StringIO(), write_down=write_down))
