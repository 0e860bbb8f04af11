"""The statements that lead back to the schema before a request's files, derived from the schema without and with them."""

import re

from ops.catalog import MANAGED_SCHEMAS
from ops.drift_proof import BESIDE_HISTORY
from ops.masking import mask_sql
from ops.migration import Effect
from ops.prior.weaving import in_one_transaction
from ops.schema.deriving import SESSION
from ops.schema.deriving import derive
from ops.schema.naming import words_of
from ops.schema.reading import read_schema
from ops.scripts import Script
from ops.undo.base import Base
from ops.undo.fitting import with_checks
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
    if past.half is not None and not past.is_as_left:
        raise NotProvenError(
            f"The schema is not as {past.request.id} left it half-way, and nothing tells what of it is its own."
        )
    if past.half is not None and base.before_sha256 not in (None, past.base_sha256):
        raise NotProvenError(
            f"The history, replayed, does not make the schema that {past.request.id} found, so nothing tells what it made."
        )
    there = base.after if past.half is None else None
    if there is None:
        if not past.is_as_left:
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
    statements = [statement for one in with_checks(found) for statement in one.statements]
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
    return "\n".join([*in_one_transaction(SESSION), *statements]) + "\n"


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
