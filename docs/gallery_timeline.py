"""The picture in the thread of a run, from fixed numbers: a real run's would differ each time."""

import base64
import tempfile
from pathlib import Path
from typing import Any

from commands.timeline import timeline_picture

_BARS = (
    ("preflight", "step", 0.0, 0.6, "done", ""),
    ("backup", "step", 0.6, 7.8, "done", ""),
    ("migrate", "step", 8.4, 9.9, "done", ""),
    ("20261109101500_add_orders_currency.sql", "file", 8.5, 5.2, "done", ""),
    (
        "waited for a lock",
        "wait",
        8.6,
        4.1,
        "done",
        "pid 4711 (monthly report, user postgres, idle in transaction) for 4.1 s",
    ),
    ("20261110083000_index_open_orders.sql", "file", 13.8, 3.6, "done", ""),
    ("create index orders_open_idx on public.orders", "statement", 13.9, 3.3, "done", ""),
    ("20261112140000_let_staff_see_orders.sql", "file", 17.6, 0.5, "done", ""),
    ("health", "step", 18.3, 0.4, "done", ""),
)
_KEYS = ("label", "kind", "start", "seconds", "outcome", "detail")
TIMELINE: dict[str, Any] = {
    "title": "R-1 · shop/prod: done, 18.7 s, 4.1 s of it waiting for locks",
    "began": "2026-11-23T10:30:00+00:00",
    "seconds": 18.7,
    "bars": [dict(zip(_KEYS, bar, strict=True)) for bar in _BARS],
}
"""As `show --json` gives it."""

CARD: dict[str, Any] = {
    "name": "timeline",
    "title": "When a run did what",
    "when": "A picture in the thread of a run that took a while, waited for a lock, or did not end well.",
    "kind": "message",
    "at": "2026-11-23T10:40:00+00:00",
    "text": "When this run did what.",
    "blocks": [],
    "timeline": TIMELINE,
}


def file_of(timeline: dict[str, Any]) -> dict[str, Any]:
    """The picture as the file of a message. Raises OpsError(PICTURE_FAILED) when it cannot be drawn."""
    with tempfile.TemporaryDirectory() as cache:
        picture = timeline_picture(timeline, Path(cache))
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    name = f"{timeline['title'].split(' ')[0]}-timeline.png"
    return {"id": name, "name": name, "title": name, "length": len(picture), "url": url}
