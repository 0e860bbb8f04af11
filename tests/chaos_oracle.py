"""What must be true after chaos: read from the log's file and the target alone, with nothing of the product's reading."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from chaos_plans import File
from chaos_plans import Plan
from chaos_plans import history_rows
from chaos_plans import how_often

from ops.database import Connection

ENDINGS = ("succeeded", "failed", "partially_applied", "interrupted", "superseded")
NOTHING = ("failed", "superseded", "cancelled", "waiting", "unasked")
"""Ends of which nothing may be on the target."""


@dataclass
class Told:
    """What the log's events say of a request: how it ended, and what became of each statement it sent.

    `statements`: by version and place in the file: "sent" (nobody knows), or what `statement_finished` says.
    """

    status: str = "unasked"
    ending: dict[str, Any] = field(default_factory=dict)
    endings: int = 0
    target_endings: int = 0
    attempts: int = 0
    applied: list[str] = field(default_factory=list)
    statements: dict[tuple[str, int], str] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    @property
    def why(self) -> str:
        """What its end says; empty where all went well."""
        return "" if self.status == "succeeded" else str(self.ending.get("message", ""))


def read_log(path: Path, request: str) -> Told:
    """Fold a request's events by hand."""
    told = Told()
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        rows = connection.execute(
            "SELECT kind, stream, data FROM events WHERE request = ? ORDER BY seq", (request,)
        ).fetchall()
    for kind, stream, text in rows:
        data = json.loads(text or "{}")
        if stream.startswith("target:"):
            told.target_endings += kind in ENDINGS
            continue
        told.kinds.append(kind)
        _take_in(told, kind, data)
    return told


def _take_in(told: Told, kind: str, data: dict[str, Any]) -> None:
    if kind == "requested":
        told.status = "waiting"
    elif kind in {"started", "resumed"}:
        told.status = "running"
        told.attempts = data["attempt"]
    elif kind == "statement_sent":
        told.statements |= {(data["version"], index): "sent" for index in data["statements"]}
    elif kind == "statement_finished":
        told.statements |= {(data["version"], index): data["outcome"] for index in data["statements"]}
    elif kind == "migration_applied":
        told.applied.append(data["version"])
    elif kind in ENDINGS or kind in {"cancelled", "rejected", "expired"}:
        told.status, told.ending = kind, data
        told.endings += kind in ENDINGS


def problems(connection: Connection, plan: Plan, told: Told) -> list[str]:
    """Every way in which log and target disagree, something is lost, or there twice; empty when all is well."""
    there = {row[0]: row for row in history_rows(connection)}
    found: list[str] = []
    for file in plan.files:
        times = how_often(connection, file)
        found += _about_file(file, times, there.get(file.version))
        found += _about_log(file, times, told)
    found += _about_history(plan, list(there), told)
    found += _about_end(plan, told)
    anything = any(version in there for version in versions(plan))
    traces = any(times for file in plan.files for times in how_often(connection, file))
    if told.status in NOTHING and (anything or traces):
        found.append(f"{told.status}, but something of it is on the target")
    if told.status == "succeeded" and not all(version in there for version in versions(plan)):
        found.append("it succeeded, but not every file is in the history")
    return found


def versions(plan: Plan) -> list[str]:
    return [file.version for file in plan.files]


def _about_file(file: File, times: Sequence[int | None], row: tuple[str, str, list[str]] | None) -> list[str]:
    """What the target says of one file, whatever the log thinks."""
    found = [f"{file.filename}: statement {at + 1} ran {n} times" for at, n in enumerate(times) if (n or 0) > 1]
    if row is not None:
        found += [
            f"{file.filename}: statement {at + 1} is lost" for at, n in enumerate(times) if n is not None and n < 1
        ]
        if row != file.row:
            found.append(f"{file.filename}: its history row is {row}")
    elif file.is_one_transaction and any(times):
        found.append(f"{file.filename}: something of it is there without its row: {times}")
    states: list[bool] = []
    at = 0
    for part in file.parts:
        mine = set(times[at : at + len(part.statements)]) - {None}
        at += len(part.statements)
        if len(mine) > 1:
            found.append(f"{file.filename}: a transaction is there in part: {times}")
        if mine:
            states.append(1 in mine)
    if states != sorted(states, reverse=True):
        found.append(f"{file.filename}: its parts are not there from the first one on: {times}")
    return found


def _about_log(file: File, times: Sequence[int | None], told: Told) -> list[str]:
    """Whether the log says of each statement what its trace says."""
    found: list[str] = []
    for at, n in enumerate(times):
        said = "done" if file.version in told.applied else told.statements.get((file.version, at), "not sent")
        if n is None or (said in {"sent", "unknown"} and told.status in {"interrupted", "running"}):
            continue
        wanted = {"done": {1}, "failed": {0, -1}, "rolled_back": {0}, "not sent": {0}}.get(said, set())
        if said == "failed" and file.in_batches and " batches of this file (" in str(told.ending.get("message", "")):
            wanted = {*wanted, 1}  # cut behind the last batch, before anybody had looked that none is left
        if n not in wanted:
            found.append(
                f"{file.filename}: the log says that statement {at + 1} is {said}, the target has it {n} times"
            )
    return found


def _about_history(plan: Plan, there: Sequence[str], told: Told) -> list[str]:
    mine = [version for version in versions(plan) if version in there]
    found = []
    if mine != versions(plan)[: len(mine)]:
        found.append(f"{mine} is not the beginning of the plan")
    doubtful = set(told.ending.get("unknown", ())) if told.status == "interrupted" else set()
    if set(mine) - doubtful != set(told.applied) - doubtful:
        found.append(f"the history has {mine}, the log {told.applied}")
    if "applied" in told.ending and list(told.ending["applied"]) != told.applied:
        found.append(f"it ended with {told.ending['applied']} applied, but {told.applied} were")
    return found


def _about_end(plan: Plan, told: Told) -> list[str]:
    """Every end is explained, once, and says what is open where something is."""
    found = []
    if told.endings != int(told.status in ENDINGS) or told.target_endings != told.endings:
        found.append(f"{told.status} with {told.endings} endings, {told.target_endings} of them told to the target")
    if told.status in ENDINGS and told.status != "succeeded" and not str(told.ending.get("message", "")).strip():
        found.append(f"{told.status} without a word why")
    open_ones = {version for (version, _), said in told.statements.items() if said in {"sent", "unknown"}}
    open_ones -= set(told.applied)
    if told.status in {*ENDINGS, "cancelled"} - {"interrupted"} and open_ones:
        found.append(f"{told.status}, but what became of {sorted(open_ones)} is open in the log")
    if told.status == "interrupted" and not open_ones <= set(told.ending["unknown"]):
        found.append(f"{sorted(open_ones)} is open, but the end names {told.ending['unknown']}")
    half = {version for (version, _), said in told.statements.items() if said in {"done", "failed"}} - set(told.applied)
    if told.status == "partially_applied" and half != {told.ending.get("within")} - {None}:
        found.append(f"half of {sorted(half)} is there, but the end says {told.ending.get('within')}")
    return found
