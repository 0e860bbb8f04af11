"""What work tells while it goes on: words, and where they are known the step and how much of it is done."""

from typing import Any


class Told(str):
    """Words of progress. They are plain text to whoever takes no more; `step` is the step's name, `share` is 0 to 1."""

    __slots__ = ("share", "step")

    share: float | None
    step: str

    def __new__(cls, words: str, *, step: str = "", share: float | None = None) -> "Told":
        made = super().__new__(cls, words)
        made.step = step
        made.share = None if share is None else min(max(share, 0.0), 1.0)
        return made


def progress_json(words: str) -> dict[str, Any]:
    """Words of progress as they go through the door."""
    told = words if isinstance(words, Told) else Told(words)
    return {"progress": str(told), "step": told.step, "share": told.share}


def read_progress(said: dict[str, Any]) -> Told:
    """Words of progress as they came through the door. Raises ValueError for anything else."""
    words, step, share = said.get("progress"), said.get("step"), said.get("share")
    if not isinstance(words, str) or not isinstance(step, str) or not (share is None or isinstance(share, float | int)):
        raise ValueError
    return Told(words, step=step, share=share)
