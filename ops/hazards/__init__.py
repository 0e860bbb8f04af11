"""Named dangers in migrations: what they are, where they stand, what to do instead."""

from typing import TYPE_CHECKING
from typing import Any

from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.hazards.squawk import SquawkTool

if TYPE_CHECKING:
    from ops.hazards.finding import all_rules
    from ops.hazards.finding import find_hazards
    from ops.hazards.table import rules_page

__all__ = ["Hazard", "HazardClass", "Level", "Rule", "SquawkTool", "all_rules", "find_hazards", "rules_page"]


def __getattr__(name: str) -> Any:
    """What finds hazards is loaded when it is asked for: with the grammar it takes longer than most plans need."""
    if name == "rules_page":
        from ops.hazards import table

        return table.rules_page
    if name in {"all_rules", "find_hazards"}:
        from ops.hazards import finding

        return getattr(finding, name)
    raise AttributeError(name)
