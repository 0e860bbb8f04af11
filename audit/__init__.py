"""The audit log: append, read, verify, export. What is true about requests is what its events say."""

from audit.anchors import anchor_line
from audit.backup import back_up
from audit.base import Base
from audit.chain import Problem
from audit.checkpoint import BadKey
from audit.checkpoint import BadNote
from audit.checkpoint import Checkpoint
from audit.checkpoint import SigningKey
from audit.checkpoint import VerifyKey
from audit.checkpoint import make_key
from audit.checkpoint import open_note
from audit.checkpoint import origin_of
from audit.checkpoint import read_key
from audit.checkpoint import sign
from audit.erasing import erase
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
from audit.export import write_csv
from audit.kinds import KINDS
from audit.log import Log
from audit.parts import LIVE
from audit.parts import SEALED
from audit.parts import Part
from audit.parts import digest_of
from audit.parts import erased_in
from audit.parts import unfinished_of
from audit.parts import unwatched
from audit.parts import with_payload
from audit.parts import write_part
from audit.proofs import NotProvable
from audit.proofs import Roots
from audit.proofs import inclusion_paths
from audit.query import Condition
from audit.query import Query
from audit.query import query_of
from audit.seen import remember
from audit.seen import remembered
from audit.signer import OtherLog
from audit.signer import Signed
from audit.signer import Signer
from audit.trimming import trim
from audit.verify import Seen
from audit.verify import Verification
from audit.verify import verify
from audit.view import FINAL_KINDS
from audit.view import Reader
from audit.view import View

__all__ = [
    "COLUMNS",
    "FINAL_KINDS",
    "KINDS",
    "LIVE",
    "SEALED",
    "AuditError",
    "BadEvent",
    "BadKey",
    "BadNote",
    "Base",
    "Checkpoint",
    "Condition",
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
    "NotProvable",
    "OtherLog",
    "Part",
    "Problem",
    "Query",
    "Reader",
    "Roots",
    "Seen",
    "Signed",
    "Signer",
    "SigningKey",
    "Verification",
    "VerifyKey",
    "View",
    "anchor_line",
    "back_up",
    "digest_of",
    "erase",
    "erased_in",
    "export",
    "inclusion_paths",
    "make_key",
    "open_note",
    "origin_of",
    "query_of",
    "read_key",
    "remember",
    "remembered",
    "sign",
    "trim",
    "unfinished_of",
    "unwatched",
    "verify",
    "with_payload",
    "write_csv",
    "write_part",
]
