"""What every event's data has in common."""

from pydantic import BaseModel
from pydantic import ConfigDict


class Data(BaseModel):
    """Frozen, and closed: what a model does not name is refused, so that nothing unexamined reaches the log."""

    # Built when first used: a process writes few of the kinds, and building all takes longer than most words.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
