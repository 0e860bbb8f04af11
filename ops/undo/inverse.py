"""The statements that lead back to the schema before a request's files, derived from the schema without and with them."""

import re

from ops.catalog import MANAGED_SCHEMAS
from ops.drift_proof import BESIDE_HISTORY
from ops.masking import mask_sql
from ops.migration import Effect
from ops.schema.deriving import SESSION
from ops.schema.deriving import derive
from ops.schema.naming import words_of
from ops.schema.reading import read_schema
from ops.scripts import Script
from ops.undo.base import Base
from ops.undo.past import Past
from ops.undo.proving import NotProvenError
from ops.undo.proving import Shown

# What may fail over rows that a copy without them does not have, or change them.
_MEETS_ROWS = re.compile(
    r"\b(ADD\s+(COLUMN|CONSTRAINT)|ALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE|SET\s+NOT\s+NULL|UNIQUE\s+INDEX|VALIDATE)\b",
    re.IGNORECASE,
)


def derived_scripts(past: Past, base: Base) -> tuple[Script, ...]:
    """One script with every statement, which takes the newest row out of the history, then one for each further row.

    Raises NotProvenError where a definition does not say enough, or says a secret.
    """
    there = base.after if past.half is None else None
    if there is None:
        if past.half is None and not past.is_as_left:
            raise NotProvenError(
                f"The schema was changed otherwise since {past.request.id}, and only a history that can be replayed tells "
                "both apart."
            )
        there = read_schema(past.target.database_url())
    found = derive(there, base.before, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=BESIDE_HISTORY)
    for one in found:
        if one.reason:
            raise NotProvenError(f"No statement leads back for {words_of(one.object)}: {one.reason.rstrip('.')}.")
        if any(mask_sql(statement) != statement for statement in one.statements):
            raise NotProvenError(
                f"The definition of {words_of(one.object)} holds a secret, which a request may not keep."
            )
    statements = [statement for one in found for statement in one.statements]
    return _scripts(past, _text(statements))


def check_rows_were_there(shown: Shown, scripts: tuple[Script, ...]) -> None:
    """Raises NotProvenError for statements that only rows can prove, where the copy had none."""
    if shown.without_rows and (met := _MEETS_ROWS.search("\n".join(one.sql for one in scripts))):
        words = " ".join(met[0].split())
        raise NotProvenError(f"{shown.without_rows} What {words} does to rows was not seen.")


def _text(statements: list[str]) -> str:
    """As one transaction: the settings that the definitions are written for hold in it alone."""
    if not statements:
        return ""
    settings = [one.replace("SET ", "SET LOCAL ", 1) for one in SESSION]
    return "\n".join([*settings, *statements]) + "\n"


def _scripts(past: Past, text: str) -> tuple[Script, ...]:
    if not past.rows:
        version = past.half or str(past.request.files[0]["version"])
        return (Script(version, "undo", f"{version}.undo.sql", Effect.KEEPS, sql=text),)
    return tuple(
        Script(
            version=row.version,
            name=row.name or "",
            filename=f"{row.version}_{row.name}.undo.sql" if row.name else f"{row.version}.undo.sql",
            effect=Effect.REMOVES,
            sql="" if number else text,
            row=row,
        )
        for number, row in enumerate(past.rows)
    )
