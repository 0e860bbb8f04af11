"""Who may read the log: the auditors and approvers that the configuration names, and who has a login on the bot's host."""

from collections.abc import Sequence

from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import is_named
from ops.policy import refused
from ops.settings import Settings
from ops.targets import all_targets


def readers_of(settings: Settings) -> tuple[str, ...]:
    """Handles and people who may read the log in Slack: the auditors, then every environment's approvers."""
    approvers = (who for target in all_targets(settings) for who in target.settings.approvers)
    return tuple(dict.fromkeys((*settings.audit.auditors, *approvers)))


def may_audit(entries: Sequence[str], actor: Actor, directory: Directory) -> Decision:
    """Whether this actor may read the log. Who has a login on the host may."""
    if actor.is_terminal:
        return Decision(True)
    if actor.user is None:
        return refused(Reason.IDENTITY_UNPROVEN, f"Nobody proved who {actor.id} is.")
    if (problem := directory.problem_of(actor.user)) is not None:
        return refused(
            Reason.NOT_A_MEMBER, f"You cannot read the log: {problem}.", "Ask a full member of this workspace."
        )
    if not is_named(entries, actor, directory.groups):
        who = f"These may: {names_of(entries)}." if entries else "Nobody is named as an auditor yet."
        return refused(Reason.NOT_AN_AUDITOR, "You may not read the log of what others did.", who)
    return Decision(True)


def check_may_audit(ops: Ops, actor: Actor) -> None:
    """Raises OpsError NOT_AN_AUDITOR, NOT_A_MEMBER, IDENTITY_UNPROVEN unless this actor may read the log."""
    entries = readers_of(ops.settings)
    directory = ops.directory(entries if actor.user else (), users=(actor.user,), members=False)
    may_audit(entries, actor, directory).or_raise()
