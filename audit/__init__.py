"""The audit log: append, read, verify, export. What is true about requests is what its events say."""

from audit.anchors import anchor_line
from audit.chain import Problem
from audit.checkpoint import BadKey
from audit.checkpoint import BadNote
from audit.checkpoint import SigningKey
from audit.checkpoint import VerifyKey
from audit.checkpoint import make_key
from audit.checkpoint import read_key
from audit.errors import AuditError
from audit.errors import BadEvent
from audit.errors import Conflict
from audit.errors import IdConflict
from audit.errors import LogBusy
from audit.errors import LogDamaged
from audit.errors import LogExists
from audit.errors import LogUnavailable
from audit.errors import NoLog
from audit.event import COLUMNS
from audit.event import Draft
from audit.event import Event
from audit.export import export
from audit.kinds import KINDS
from audit.log import Log
from audit.seen import remember
from audit.seen import remembered
from audit.signer import OtherLog
from audit.signer import Signed
from audit.signer import Signer
from audit.verify import Seen
from audit.verify import Verification
from audit.verify import verify
from audit.view import FINAL_KINDS
from audit.view import Query
from audit.view import Reader
from audit.view import View

__all__ = [
    "COLUMNS",
    "FINAL_KINDS",
    "KINDS",
    "AuditError",
    "BadEvent",
    "BadKey",
    "BadNote",
    "Conflict",
    "Draft",
    "Event",
    "IdConflict",
    "Log",
    "LogBusy",
    "LogDamaged",
    "LogExists",
    "LogUnavailable",
    "NoLog",
    "OtherLog",
    "Problem",
    "Query",
    "Reader",
    "Seen",
    "Signed",
    "Signer",
    "SigningKey",
    "Verification",
    "VerifyKey",
    "View",
    "anchor_line",
    "export",
    "make_key",
    "read_key",
    "remember",
    "remembered",
    "verify",
]
