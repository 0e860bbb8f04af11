"""Undoing what another request applied: its scripts run as files do, and take their rows out of the history.

What people approved rests on the target's state, so nothing runs when that is another one by then.
"""

from ops.kinds.kind import Kind

KIND = Kind()
