"""Every kind of event there is, with a model of its `data`. A new kind is one class and one line here.

Kinds are past tense. The list is closed: the log refuses what is not in it.
"""

from collections.abc import Mapping

from audit.data import Data
from audit.kinds_asked import Answered
from audit.kinds_asked import Approved
from audit.kinds_asked import Cancelled
from audit.kinds_asked import Clicked
from audit.kinds_asked import Commanded
from audit.kinds_asked import Expired
from audit.kinds_asked import Pinned
from audit.kinds_asked import Planned
from audit.kinds_asked import Refused
from audit.kinds_asked import RehearsalStarted
from audit.kinds_asked import Rehearsed
from audit.kinds_asked import Rejected
from audit.kinds_asked import Reminded
from audit.kinds_asked import Requested
from audit.kinds_asked import Shown
from audit.kinds_asked import Superseded
from audit.kinds_factor import CodeFailed
from audit.kinds_factor import CodeUsed
from audit.kinds_factor import DebtOwed
from audit.kinds_factor import DebtReminded
from audit.kinds_factor import Enrolled
from audit.kinds_factor import EnrolmentAgreed
from audit.kinds_factor import EnrolmentAsked
from audit.kinds_factor import Overridden
from audit.kinds_factor import Reviewed
from audit.kinds_kept import Adopted
from audit.kinds_kept import ApprovalCarried
from audit.kinds_kept import ApprovalVoided
from audit.kinds_kept import BotStarted
from audit.kinds_kept import BotStopped
from audit.kinds_kept import ChangedOutside
from audit.kinds_kept import Claimed
from audit.kinds_kept import Configured
from audit.kinds_kept import Erased
from audit.kinds_kept import Exported
from audit.kinds_kept import Frozen
from audit.kinds_kept import Locked
from audit.kinds_kept import Queried
from audit.kinds_kept import Recorded
from audit.kinds_kept import Replanned
from audit.kinds_kept import StateNoted
from audit.kinds_kept import Unfrozen
from audit.kinds_kept import Unlocked
from audit.kinds_kept import Warned
from audit.kinds_proof import Archived
from audit.kinds_proof import ArchiveRestored
from audit.kinds_proof import BackedUp
from audit.kinds_proof import CheckpointPublished
from audit.kinds_proof import CheckpointSigned
from audit.kinds_proof import CheckpointUnpublished
from audit.kinds_proof import DropBegan
from audit.kinds_proof import Dropped
from audit.kinds_proof import ErasureAsked
from audit.kinds_proof import Held
from audit.kinds_proof import KeyMade
from audit.kinds_proof import KeyRetired
from audit.kinds_proof import Released
from audit.kinds_proof import SegmentSealed
from audit.kinds_run import BackupProven
from audit.kinds_run import BackupRemoved
from audit.kinds_run import BackupStarted
from audit.kinds_run import BatchSent
from audit.kinds_run import CleanupSent
from audit.kinds_run import CommitSent
from audit.kinds_run import Failed
from audit.kinds_run import HistoryPrepared
from audit.kinds_run import HistoryRepaired
from audit.kinds_run import Interrupted
from audit.kinds_run import LoadNoted
from audit.kinds_run import LockWaited
from audit.kinds_run import MigrationApplied
from audit.kinds_run import MigrationUndone
from audit.kinds_run import PartiallyApplied
from audit.kinds_run import PriorCopied
from audit.kinds_run import PriorCopiesRemoved
from audit.kinds_run import Progressed
from audit.kinds_run import Resumed
from audit.kinds_run import ScriptRun
from audit.kinds_run import Started
from audit.kinds_run import StatementFinished
from audit.kinds_run import StatementSent
from audit.kinds_run import StepFailed
from audit.kinds_run import StepFinished
from audit.kinds_run import StepStarted
from audit.kinds_run import StopAsked
from audit.kinds_run import Succeeded
from audit.kinds_run import WatchBegan
from audit.kinds_run import Watched
from audit.kinds_run import WatchSampled
from audit.kinds_run import WatchWorsened

KINDS: Mapping[str, type[Data]] = {
    "commanded": Commanded,
    "clicked": Clicked,
    "answered": Answered,
    "refused": Refused,
    "rehearsal_started": RehearsalStarted,
    "rehearsed": Rehearsed,
    "planned": Planned,
    "requested": Requested,
    "pinned": Pinned,
    "shown": Shown,
    "approved": Approved,
    "reminded": Reminded,
    "rejected": Rejected,
    "cancelled": Cancelled,
    "expired": Expired,
    "superseded": Superseded,
    "started": Started,
    "resumed": Resumed,
    "stop_asked": StopAsked,
    "step_started": StepStarted,
    "step_finished": StepFinished,
    "step_failed": StepFailed,
    "statement_sent": StatementSent,
    "commit_sent": CommitSent,
    "batch_sent": BatchSent,
    "statement_finished": StatementFinished,
    "cleanup_sent": CleanupSent,
    "lock_waited": LockWaited,
    "progressed": Progressed,
    "migration_applied": MigrationApplied,
    "migration_undone": MigrationUndone,
    "history_repaired": HistoryRepaired,
    "script_run": ScriptRun,
    "history_prepared": HistoryPrepared,
    "prior_copied": PriorCopied,
    "prior_copies_removed": PriorCopiesRemoved,
    "backup_proven": BackupProven,
    "backup_removed": BackupRemoved,
    "backup_started": BackupStarted,
    "succeeded": Succeeded,
    "failed": Failed,
    "partially_applied": PartiallyApplied,
    "interrupted": Interrupted,
    "load_noted": LoadNoted,
    "watch_began": WatchBegan,
    "watch_sampled": WatchSampled,
    "watch_worsened": WatchWorsened,
    "watched": Watched,
    "locked": Locked,
    "unlocked": Unlocked,
    "claimed": Claimed,
    "warned": Warned,
    "frozen": Frozen,
    "unfrozen": Unfrozen,
    "approval_carried": ApprovalCarried,
    "approval_voided": ApprovalVoided,
    "replanned": Replanned,
    "enrolment_asked": EnrolmentAsked,
    "enrolment_agreed": EnrolmentAgreed,
    "enrolled": Enrolled,
    "code_used": CodeUsed,
    "code_failed": CodeFailed,
    "overridden": Overridden,
    "debt_owed": DebtOwed,
    "debt_reminded": DebtReminded,
    "reviewed": Reviewed,
    "adopted": Adopted,
    "recorded": Recorded,
    "erased": Erased,
    "queried": Queried,
    "exported": Exported,
    "state_noted": StateNoted,
    "changed_outside": ChangedOutside,
    "configured": Configured,
    "bot_started": BotStarted,
    "bot_stopped": BotStopped,
    "checkpoint_signed": CheckpointSigned,
    "checkpoint_published": CheckpointPublished,
    "checkpoint_unpublished": CheckpointUnpublished,
    "key_made": KeyMade,
    "key_retired": KeyRetired,
    "segment_sealed": SegmentSealed,
    "archived": Archived,
    "archive_restored": ArchiveRestored,
    "backed_up": BackedUp,
    "held": Held,
    "released": Released,
    "erasure_asked": ErasureAsked,
    "drop_began": DropBegan,
    "dropped": Dropped,
}
