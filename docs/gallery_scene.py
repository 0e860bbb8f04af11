"""A scene of the gallery."""

from collections.abc import Callable
from dataclasses import dataclass

from gallery_stage import Shown
from gallery_stage import Story


@dataclass(frozen=True)
class Scene:
    """One card: its name, what it is, who sees it when, and what has to be done for it to be there."""

    name: str
    title: str
    when: str
    play: Callable[[Story], Shown]
    at_once: bool = False
    """True where a run is under way, which is not to last for minutes."""
