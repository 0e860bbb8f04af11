"""The rule about when a plan is run. No file is read for it: its target says how much it has to do."""

from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule

BUSY_HOUR = Rule(
    "busy-hour",
    HazardClass.LOCKS,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Ask in the hours that the message names; approving is possible before.",
)
