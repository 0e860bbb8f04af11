"""Judging 1,000 migration files, beside the linter squawk alone on the same files: in a process that stands ready, and
as `countersign lint` from its start to its exit."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from ops.hazards import SquawkTool
from ops.hazards import find_hazards
from ops.migrations import read_folder

AT_MOST_SECONDS = 2.0
_ROOT = Path(__file__).resolve().parent.parent
_CORPUS = _ROOT / "tests" / "data"
_NO_RIVAL = "squawk is not installed, so ours was measured alone"
# Beside the corpus, whose files are mostly small: what a new table with its policies looks like.
_TYPICAL = """-- Things that customers can own.
create table public.thing_{0} (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null references auth.users (id) on delete cascade,
  title text not null check (char_length(title) between 1 and 200),
  created_at timestamptz not null default now()
);
alter table public.thing_{0} enable row level security;
create policy "owners read" on public.thing_{0} for select to authenticated using ((select auth.uid()) = owner_id);
create policy "owners write" on public.thing_{0} for insert to authenticated with check ((select auth.uid()) = owner_id);
create index thing_{0}_owner on public.thing_{0} (owner_id);
create function public.touch_{0}() returns trigger language plpgsql set search_path = '' as $$
begin
  new.created_at := now();
  return new;
end;
$$;
create trigger touch before update on public.thing_{0} for each row execute function public.touch_{0}();
comment on table public.thing_{0} is 'Café things';
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seconds and ratios; 1 when the bound is not met."""
    options = options_of(__doc__ or "", arguments, rounds=7)
    count = 20 if options.tiny else 1000
    files = _files(count)
    program = SquawkTool().program()
    with tempfile.TemporaryDirectory(prefix="countersign-bench-lint-", dir=options.folder) as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        contenders: dict[str, Callable[[], float]] = {
            "ready": lambda: _timed(lambda: find_hazards(read_folder(files).migrations)),
            "word": lambda: _run(folder, [sys.executable, "-m", "countersign", "lint", *files, "--json"]),
        }
        if program is not None:
            contenders["rival"] = lambda: _run(folder, [program, "--reporter", "json", *files])
        find_hazards(read_folder(files).migrations)
        found = alternate(options.rounds, contenders)
    size = sum(len(content) for content in files.values()) / 1e6
    bounds: list[Figure | Bound] = [
        Bound(f"lint, {count:,} files ({size:.1f} MB), process ready", found["ready"], at_most=AT_MOST_SECONDS),
        Bound(f"lint, {count:,} files, the word from start to exit", found["word"], at_most=AT_MOST_SECONDS),
    ]
    if program is not None:
        bounds.append(Figure("lint, process ready, beside squawk alone", found["ready"], found["rival"]))
    return report("Lint", bounds, folder=options.folder, notes=() if program else (_NO_RIVAL,))


def _files(count: int) -> Mapping[str, bytes]:
    """Every second file a new table, the others the corpora's in turn: ten safe ones to a hazardous one."""
    safe = [path.read_bytes() for path in sorted((_CORPUS / "safe_migrations").glob("*.sql"))]
    hazardous = [path.read_bytes() for path in sorted((_CORPUS / "hazardous_migrations").glob("*.sql"))]
    files = {}
    for number in range(count):
        if number % 2 == 0:
            content = _TYPICAL.replace("{0}", str(number)).encode()
        elif number % 22 == 1:
            content = hazardous[number // 22 % len(hazardous)]
        else:
            content = safe[number // 2 % len(safe)]
        files[f"{20260101000000 + number}_file.sql"] = content
    return files


def _timed(act: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _run(folder: str, command: Sequence[str]) -> float:
    """Seconds of a process from its start to its exit; both exit with 1 when they find something."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(_ROOT)}
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"{command[0]} ended with code {ended.returncode}: {ended.stderr.decode()[-300:]}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
