"""The bodies of the page's POSTs, each checked whole; whatever else stands in one is refused."""

from typing import Annotated
from typing import Literal

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import StringConstraints


def _is_text(text: str) -> str:
    """Half a surrogate pair is valid JSON, but no text that can be sent on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("this is not UTF-8 text") from None
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_is_text)]
Line = Annotated[str, StringConstraints(max_length=4_000), AfterValidator(_is_text)]


class Strict(BaseModel):
    """Takes what is written below it and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Body(Strict):
    """What every act says: who does it (`as`)."""

    who: Id = Field(alias="as")


class Say(Body):
    """A line written in a channel or thread."""

    channel: Id
    text: Line
    thread_ts: Id | None = None


class Click(Body):
    """A pressed button of a message."""

    message: Id
    block_id: Id
    action_id: Id


class ClickView(Body):
    """A pressed button of the home tab, or with `view` of a modal."""

    view: Id = ""
    block_id: Id
    action_id: Id


class ViewOf(Body):
    """A modal that is closed."""

    view: Id


class Submit(Body):
    """A modal that is submitted, with what stands in it."""

    view: Id
    values: dict[Id, dict[Id, Line | list[Line]]]


class Clock(Strict):
    """By how much the clock is moved."""

    forward_seconds: int


class FaultSwitches(Strict):
    """What is left out stays as it is."""

    down: bool | None = None
    rate_limited: bool | None = None
    slow: bool | None = None


class Break(Strict):
    """What is to be broken, or put right again."""

    what: Literal[
        "kill_bot",
        "start_bot",
        "drop_socket",
        "edit_migration",
        "change_prod",
        "lock_table",
        "release_table",
        "new_migration",
    ]
