"""Which rules of squawk 2.70.0 count here, in our classes and levels and in our words."""

from dataclasses import dataclass

from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule

# Style, what goes by keyword alone, and what is judged as a whole by rules of our own.
EXCLUDED = {
    *("ban-drop-table", "ban-drop-column", "ban-drop-schema", "ban-drop-extension", "ban-drop-database"),
    *("ban-truncate-cascade", "ban-char-field", "require-table-schema", "require-enum-value-ordering"),
    *("require-timeout-settings", "transaction-nesting", "ban-uncommitted-transaction", "unused-ignore"),
    *("ban-concurrent-index-creation-in-transaction", "ban-drop-policy", "ban-alter-policy-condition"),
    *("ban-alter-policy-roles", "ban-create-policy", "ban-alter-row-level-security", "ban-drop-default"),
    *("ban-drop-index", "ban-set-default", "ban-disable-trigger", "ban-replica-identity", "ban-revoke"),
    *("ban-replace-view-function", "ban-alter-function-options", "ban-alter-view-options", "ban-add-column"),
    *("ban-alter-role-options", "ban-alter-database-options", "ban-new-write-restriction", "ban-add-enum-value"),
    *("ban-add-composite-attribute", "ban-detach-inheritance", "ban-alter-sequence-values", "ban-alter-extension"),
    *("ban-alter-system-options", "ban-alter-generated-expression", "ban-drop-generated-expression"),
    *("ban-drop-trigger", "ban-drop-rule", "ban-drop-materialized-view", "ban-drop-aggregate", "ban-drop-operator"),
}
# Judged by rules of our own in every statement that Postgres' grammar reads; the linter's word counts in the others.
OURS = {
    *("require-concurrent-index-creation", "require-concurrent-index-deletion", "constraint-missing-not-valid"),
    *("adding-foreign-key-constraint", "adding-field-with-default", "changing-column-type", "ban-drop-view"),
    *("adding-not-nullable-field", "adding-serial-primary-key-field", "disallowed-unique-constraint"),
    *("require-concurrent-partition-detach", "require-concurrent-reindex", "ban-create-domain-with-constraint"),
    *("ban-alter-domain-with-add-constraint", "adding-required-field", "renaming-column", "renaming-table"),
    *("renaming-object", "ban-set-schema", "ban-drop-not-null", "ban-drop-constraint", "ban-drop-function"),
    *("ban-drop-type", "ban-drop-domain", "ban-drop-sequence", "ban-alter-identity", "adding-exclusion-constraint"),
}


@dataclass(frozen=True)
class Linted:
    """A rule of squawk under our class and level, and what we say when it fires."""

    rule: Rule
    message: str


LINTED = {
    "identifier-too-long": Linted(
        Rule(
            "identifier-too-long",
            HazardClass.COMPATIBILITY,
            Level.CAUTION,
            caught=f"comment on table {'o' * 70} is 'cut';",
            left_alone=f"comment on table {'o' * 60} is 'whole';",
            safe_way="Choose a shorter name.",
        ),
        "Postgres cuts the name after 63 bytes.",
    ),
    "syntax-error": Linted(
        Rule(
            "syntax-error",
            HazardClass.UNCHECKED,
            Level.CAUTION,
            caught="frobnicate orders;",
            left_alone="select 1;",
            safe_way="Look whether the statement is whole, and try it on a database of your own first.",
        ),
        "The linter cannot read this place, so it has not judged what follows.",
    ),
}
