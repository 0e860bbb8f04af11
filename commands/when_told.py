"""What people are told directly of locks and freezes: that theirs was ended by somebody else, that one delays them."""

from datetime import datetime

from audit import Event
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Tone
from commands.page import When
from commands.page import Who
from commands.page_words import sentence_line

_TAKEN = {
    "unlocked": ("Your lock was taken away", "took away your lock"),
    "unfrozen": ("Your freeze was ended", "ended your freeze"),
}
_WARNED = {
    "lock_ends": "A lock is about to end",
    "freeze_ends": "A freeze is about to end",
    "lock_delays": "An approved request waits for a lock",
    "freeze_delays": "An approved request waits for a freeze to end",
}


def taken_page(event: Event) -> Page:
    """To who had locked or frozen it: who ended that, and why."""
    data = event.data or {}
    what = "everything" if event.stream == "all" else event.stream.removeprefix("target:")
    headline, did = _TAKEN[event.kind]
    why = f": {data['because']}" if data.get("because") else "."
    said: Line = (Who(event.actor), f" {did} of {what}{why}")
    return Page(headline, body=[Paragraph(said)], tone="warning")


def warned_page(event: Event) -> Page:
    """To the owner and those who wait."""
    data = event.data or {}
    tone: Tone = "warning" if str(data["about"]).endswith("_delays") else "plain"
    facts: list[tuple[str, Line]] = []
    if data.get("until"):
        facts = [("Until", (When(datetime.fromisoformat(data["until"])),))]
    return Page(_WARNED[data["about"]], facts, [Paragraph(tuple(sentence_line(data["message"])))], tone=tone)
