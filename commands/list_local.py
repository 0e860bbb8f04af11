"""`list` at the terminal of whoever asks: what the environments answered, beside the files of their working tree."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands.local_files import migrations_folder
from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import Table
from commands.page_json import page_json
from commands.page_words import plural
from ops.history import file_sha256
from ops.masking import printable
from ops.migration import FILE_NAME
from ops.migration import Migration

NOTHING = "–"
NAME_LETTERS = 80


def lay_beside(answer: dict[str, Any], start: Path) -> None:
    """Put the working tree's files into the answer, and make the page that people read."""
    folder = migrations_folder(start)
    files = _read(folder) if folder is not None and folder.is_dir() else None
    rows = listed(answer["reply"]["environments"], files)
    answer["reply"] |= {"migrations": rows, "local": None if folder is None else str(folder)}
    answer["page"] = page_json(_page(answer["reply"]["environments"], rows, has_local=files is not None))


def listed(environments: list[dict[str, Any]], files: Mapping[str, Migration] | None) -> list[dict[str, Any]]:
    """One entry for each version, in the order in which they run; `local` None: there are no local files to speak of."""
    versions = {*(files or {}), *(one for each in environments for one in (*each["applied"], *each["branch_files"]))}
    return [
        {
            "version": version,
            "name": _name_of(version, environments, files or {}),
            "local": None if files is None else version in files,
            "environments": {
                each["target"]: _state(version, each, (files or {}).get(version)) for each in environments
            },
        }
        for version in sorted(versions)
    ]


def _read(folder: Path) -> dict[str, Migration]:
    from ops.migrations import read_migration  # with the grammar, which few need

    found = {}
    for file in sorted(folder.iterdir()):
        named = FILE_NAME.fullmatch(file.name)
        if named and file.is_file() and not file.is_symlink():
            found[named.group(1)] = read_migration(file.name, named.group(1), named.group(2), file.read_bytes())
    return found


def _state(version: str, environment: Mapping[str, Any], local: Migration | None) -> str:
    """applied, edited, pending, `not on …` for a file that the branch lacks, or a dash; ? where it is not known."""
    row, committed = environment["applied"].get(version), environment["branch_files"].get(version)
    if not environment["is_known"]:
        return "?"
    if row is None:
        return "pending" if committed else (f"not on {environment['branch']}" if local else NOTHING)
    sha256 = file_sha256(local) if local is not None else (committed or {}).get("sha256")
    if sha256 is None:
        return "applied, no file"
    is_script = row["stored"] == 1 and (local is None or len(local.statements) > 1)
    if row["sha256"] is None or (row["sha256"] != sha256 and is_script):
        return "applied, as one text" if row["sha256"] else "applied, text unknown"
    return "applied" if row["sha256"] == sha256 else "edited"


def _name_of(version: str, environments: list[dict[str, Any]], files: Mapping[str, Migration]) -> str:
    if version in files:
        return printable(files[version].name, NAME_LETTERS)
    names = [
        each[part][version]["name"]
        for each in environments
        for part in ("branch_files", "applied")
        if version in each[part]
    ]
    return printable(next((one for one in names if one), ""), NAME_LETTERS)


def _page(environments: list[dict[str, Any]], rows: list[dict[str, Any]], *, has_local: bool) -> Page:
    columns = ["Migration", *(["Here"] if has_local else []), *(str(each["environment"]) for each in environments)]
    cells: list[list[Line]] = [
        [
            (Code(f"{one['version']}_{one['name']}" if one["name"] else one["version"]),),
            *([("yes" if one["local"] else NOTHING,)] if has_local else []),
            *((str(one["environments"][each["target"]]),) for each in environments),
        ]
        for one in rows
    ]
    problems: list[Line] = [(f"{each['target']}: {each['problem']}",) for each in environments if each["problem"]]
    body: list[Part] = [Table("", columns, cells)] if rows else []
    body += [Listing("Not known", problems)] if problems else []
    return Page(plural(len(rows), "migration"), body=body, tone="warning" if problems else "plain")
