"""Named dangers in migrations: what they are, where they stand, what to do instead."""

from ops.hazards.finding import all_rules
from ops.hazards.finding import find_hazards
from ops.hazards.linter import SquawkTool
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.table import rules_page

__all__ = ["Hazard", "HazardClass", "Level", "Rule", "SquawkTool", "all_rules", "find_hazards", "rules_page"]
