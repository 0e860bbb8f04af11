"""`countersign push` (no approval, no backup, no checks) beside `supabase db push`: the same files, durable commits."""

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

AT_MOST = {1: 1.0, 100: 1.0, 1000: 1.1}
"""The most that ours may take while the bot runs, by the number of files: faster up to 100, no more than a tenth slower
at 1,000. Alone it loads the libraries first, which is printed without a bound."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios; 1 when one is not met."""
    options = options_of(__doc__ or "", arguments, rounds=5)
    figures: list[Figure | Bound] = []
    with Project(options.folder) as project:
        for count in (2,) if options.tiny else AT_MOST:
            project.hold(count)
            project.fresh_database()
            for with_bot in (True, False):
                with project.bot(with_bot):
                    project.ours("plan", "dev", "--json")  # the mirror of the repository is made once
                    figures.append(_figure(project, count, options.rounds, with_bot))
    notes = ["both commit durably: fsync and synchronous_commit on in Postgres, synchronous=FULL in the log"]
    return report("Pushes", figures, folder=options.folder, notes=notes if SUPABASE else [*notes, NO_RIVAL])


def _figure(project: Project, count: int, rounds: int, with_bot: bool) -> Figure | Bound:
    def ours() -> float:
        project.empty_database()
        return project.ours("push", "dev", "--json")

    def rival() -> float:
        project.empty_database()
        return project.rival("db", "push")

    found = alternate(rounds, {"ours": ours, "rival": rival} if SUPABASE else {"ours": ours})
    name = f"push, {count} {'files' if count > 1 else 'file'}, {'with the bot' if with_bot else 'alone'}"
    if SUPABASE:
        return Figure(name, found["ours"], found["rival"], at_most=AT_MOST.get(count) if with_bot else None)
    return Bound(name, found["ours"])


if __name__ == "__main__":
    sys.exit(main())
