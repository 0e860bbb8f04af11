"""What every event's data has in common."""

from pydantic import BaseModel
from pydantic import ConfigDict


class Data(BaseModel):
    """Frozen, and closed: what a model does not name is refused, so that nothing unexamined reaches the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")
