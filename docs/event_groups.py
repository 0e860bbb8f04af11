"""What docs/events.md adds to the models of events: which belong together, who is their actor, which controls they serve."""

from dataclasses import dataclass

CONTROLS = {
    "SOC 2 CC8.1": "changes are authorised, documented, tested, approved and carried out",
    "SOC 2 CC6": "who has access is known, and what they prove of themselves",
    "SOC 2 CC7": "what happens is watched, and changes that nobody asked for are noticed",
    "ISO 27001 A.8.13": "backups are taken and tried",
    "ISO 27001 A.8.15": "activities are logged, and the log is protected",
    "ISO 27001 A.8.32": "changes follow a written procedure",
    "PCI DSS 10.2.1.1": "each person's access",
    "PCI DSS 10.2.1.2": "what is done with special rights",
    "PCI DSS 10.2.1.3": "access to the audit log",
    "PCI DSS 10.2.1.4": "attempts that were refused",
    "PCI DSS 10.2.1.5": "changes of what people prove themselves with",
    "PCI DSS 10.2.1.6": "logging starts, stops, pauses",
    "PCI DSS 10.2.1.7": "objects are made and removed",
    "PCI DSS 10.3": "the log is protected from change, and changes are noticed",
    "PCI DSS 10.5.1": "the log is kept long enough",
}

PERSON = "the person, as Slack or the system proved them"
RUNNER = "`system:runner`: the process that carries the run out"
BOT = "`system:bot`, or the part of it that noticed"
NOTARY = "`system:notary`"
OPERATOR = "the terminal user; the bot where it does it by itself"


@dataclass(frozen=True)
class EventGroup:
    """Kinds that belong together. `who`: their actor, where `others` do not say otherwise."""

    title: str
    who: str
    controls: tuple[str, ...]
    kinds: tuple[str, ...]
    others: tuple[tuple[str, str], ...] = ()

    def who_of(self, kind: str) -> str:
        return dict(self.others).get(kind, self.who)


GROUPS = (
    EventGroup(
        "What people said, and were answered",
        PERSON,
        ("PCI DSS 10.2.1.1", "PCI DSS 10.2.1.4", "ISO 27001 A.8.15"),
        ("commanded", "clicked", "answered", "refused"),
        (("answered", "`system:commands`"),),
    ),
    EventGroup(
        "Plans and their rehearsals",
        PERSON,
        ("SOC 2 CC8.1", "ISO 27001 A.8.32"),
        ("planned", "rehearsal_started", "rehearsed"),
    ),
    EventGroup(
        "Requests and decisions",
        PERSON,
        ("SOC 2 CC8.1", "ISO 27001 A.8.32", "PCI DSS 10.2.1.2"),
        (
            *(
                "requested",
                "pinned",
                "shown",
                "reminded",
                "approved",
                "approval_carried",
                "approval_voided",
                "replanned",
            ),
            *("rejected", "cancelled", "expired", "superseded", "claimed"),
        ),
        (
            ("pinned", "`system:policy`: who may decide, as Slack said it then"),
            ("shown", "`system:announcer`"),
            ("reminded", BOT),
            ("approval_carried", BOT),
            ("approval_voided", BOT),
            ("replanned", BOT),
            ("expired", BOT),
            ("superseded", "the person who asked for a newer plan; a part of the system where it noticed"),
        ),
    ),
    EventGroup(
        "Emergencies and what is owed for them",
        PERSON,
        ("SOC 2 CC8.1", "PCI DSS 10.2.1.2"),
        ("overridden", "debt_owed", "debt_reminded", "reviewed"),
        (("debt_owed", RUNNER), ("debt_reminded", BOT)),
    ),
    EventGroup(
        "What people prove beside their account",
        PERSON,
        ("SOC 2 CC6", "PCI DSS 10.2.1.5", "PCI DSS 10.2.1.4"),
        ("enrolment_asked", "enrolment_agreed", "enrolled", "code_used", "code_failed"),
    ),
    EventGroup(
        "Runs, from claim to end",
        RUNNER,
        ("SOC 2 CC8.1", "ISO 27001 A.8.32"),
        (
            *("started", "resumed", "stop_asked", "step_started", "step_finished", "step_failed"),
            *("succeeded", "failed", "partially_applied", "interrupted", "recorded"),
        ),
        (("stop_asked", PERSON), ("recorded", PERSON)),
    ),
    EventGroup(
        "Statements on the target",
        RUNNER,
        ("SOC 2 CC8.1", "PCI DSS 10.2.1.7"),
        (
            *("history_prepared", "statement_sent", "commit_sent", "batch_sent", "statement_finished", "cleanup_sent"),
            *("lock_waited", "progressed", "migration_applied", "migration_undone", "history_repaired", "script_run"),
            *("prior_copied", "prior_copies_removed"),
        ),
    ),
    EventGroup(
        "Backups",
        RUNNER,
        ("ISO 27001 A.8.13",),
        (
            *("backup_started", "backup_proven", "backup_removed", "restore_point_sent", "restore_point_made"),
            *("managed_restore_sent", "managed_restore_begun", "managed_restored"),
        ),
        (("backup_started", PERSON),),
    ),
    EventGroup(
        "Edge functions",
        RUNNER,
        ("SOC 2 CC8.1", "ISO 27001 A.8.32"),
        ("function_kept", "function_deploy_sent", "function_deployed", "function_deploy_failed"),
    ),
    EventGroup(
        "Secrets, by name",
        RUNNER,
        ("SOC 2 CC6", "SOC 2 CC8.1", "PCI DSS 10.2.1.5"),
        ("value_asked", "value_given", "secret_set_sent", "secret_set", "secret_unset_sent", "secret_unset"),
        (("value_asked", PERSON), ("value_given", PERSON)),
    ),
    EventGroup(
        "Jobs of CI that came in",
        "the job, as its claims prove it",
        ("SOC 2 CC6", "PCI DSS 10.2.1.1"),
        ("ci_admitted",),
    ),
    EventGroup(
        "Health and the time after a run",
        RUNNER,
        ("SOC 2 CC7",),
        (
            *("load_noted", "watch_began", "watch_sampled", "watch_worsened", "watched"),
            *("health_changed", "advisors_noted"),
        ),
        (("health_changed", BOT),),
    ),
    EventGroup(
        "Targets: locks, freezes, changes from outside",
        PERSON,
        ("SOC 2 CC7", "SOC 2 CC8.1", "ISO 27001 A.8.32"),
        ("locked", "unlocked", "frozen", "unfrozen", "warned", "adopted", "state_noted", "changed_outside"),
        (("warned", BOT), ("adopted", RUNNER), ("state_noted", BOT), ("changed_outside", BOT)),
    ),
    EventGroup(
        "Configuration, start and stop",
        BOT,
        ("PCI DSS 10.2.1.6", "PCI DSS 10.2.1.2", "ISO 27001 A.8.32"),
        ("configured", "bot_started", "bot_stopped"),
        (("configured", f"{BOT}; the terminal user, where a word is carried out with other rules than the bot's"),),
    ),
    EventGroup(
        "Who read the log, and who took copies",
        "the auditor: a person in Slack, a terminal user, a reader who logged in",
        ("PCI DSS 10.2.1.3", "ISO 27001 A.8.15"),
        ("queried", "exported", "backed_up"),
    ),
    EventGroup(
        "What proves the log",
        NOTARY,
        ("PCI DSS 10.3", "ISO 27001 A.8.15"),
        ("key_made", "key_retired", "checkpoint_signed", "checkpoint_published", "checkpoint_unpublished"),
        (("key_made", OPERATOR), ("key_retired", OPERATOR)),
    ),
    EventGroup(
        "How long it is kept, and what is taken out",
        OPERATOR,
        ("PCI DSS 10.5.1", "PCI DSS 10.3", "PCI DSS 10.2.1.2"),
        (
            *("segment_sealed", "archived", "archive_restored", "held", "released"),
            *("drop_began", "dropped", "erasure_asked", "erased"),
        ),
    ),
)
