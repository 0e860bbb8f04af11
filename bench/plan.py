"""`countersign plan` beside `supabase db push --dry-run`, as typed at a terminal: with the bot running, and alone."""

import sys
from collections.abc import Sequence

from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from bench.projects import NO_RIVAL
from bench.projects import SUPABASE
from bench.projects import Project

AT_MOST = 0.6
GROWTH_AT_MOST = 1.3
PLAN = ("plan", "dev", "--json")
DRY_RUN = ("db", "push", "--dry-run")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios; 1 when one is not met."""
    options = options_of(__doc__ or "", arguments, rounds=7)
    figures: list[Figure | Bound] = []
    with Project(options.folder) as project:
        for with_bot in (True, False):
            where = "with the bot" if with_bot else "alone"
            for count in (2,) if options.tiny else (1, 100, 1000):
                project.hold(count)
                project.fresh_database()
                with project.bot(with_bot):
                    figures += _against_the_rival(project, count, where, options.rounds)
            figures.append(_growth(project, where, with_bot, options.rounds, options.tiny))
    return report("Plans", figures, folder=options.folder, notes=() if SUPABASE else (NO_RIVAL,))


def _against_the_rival(project: Project, count: int, where: str, rounds: int) -> list[Figure | Bound]:
    project.ours(*PLAN)  # the mirror of the repository is made once
    contenders = {"ours": lambda: project.ours(*PLAN)}
    if SUPABASE:
        contenders["rival"] = lambda: project.rival(*DRY_RUN)
    found = alternate(rounds, contenders)
    name = f"plan, {count} pending, {where}"
    if SUPABASE:
        return [Figure(name, found["ours"], found["rival"], at_most=AT_MOST)]
    return [Bound(name, found["ours"])]


def _growth(project: Project, where: str, with_bot: bool, rounds: int, tiny: bool) -> Figure:
    """One pending file behind a long history, beside the same behind a short one."""
    seconds: dict[int, list[float]] = {}
    sizes = (3, 6) if tiny else (1_000, 10_000)
    for applied in sizes:
        project.hold(applied + 1)
        project.fresh_database(applied)
        with project.bot(with_bot):
            project.ours(*PLAN)
            seconds[applied] = [project.ours(*PLAN) for _ in range(rounds)]
    short, long = sizes
    name = f"plan, 1 pending after {long:,} applied, beside {short:,}, {where}"
    return Figure(name, seconds[long], seconds[short], at_most=GROWTH_AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
