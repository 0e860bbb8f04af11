"""The numbers behind /healthz and /metrics, looked up at the moment of the question."""

import asyncio
from collections.abc import Callable
from collections.abc import Mapping

from audit import AuditError
from bot.sockets import Sockets
from ops.foreman import Foreman
from ops.layer import Ops


class Figures:
    """Called, it gives every number of `probes.METRICS`. `sockets` gives None with --http, and before they are open."""

    def __init__(self, ops: Ops, foreman: Foreman, *, http: bool, sockets: Callable[[], Sockets | None]) -> None:
        self._ops = ops
        self._foreman = foreman
        self._http = http
        self._sockets = sockets

    async def __call__(self) -> Mapping[str, float]:
        sockets = self._sockets()
        connected = await sockets.connected() if sockets else 0
        writable = await asyncio.to_thread(self._is_log_writable)
        return {
            "countersign_ready": float(writable and (self._http or connected > 0)),
            "countersign_log_writable": float(writable),
            "countersign_sockets_connected": float(connected),
            "countersign_requests_open": float(await asyncio.to_thread(self._open_requests)),
            "countersign_runs_active": float(self._foreman.busy),
        }

    def _is_log_writable(self) -> bool:
        """Whether a transaction of the log goes through, without recording anything."""
        try:
            self._ops.log.transact(lambda _: [])
        except AuditError:
            return False
        return True

    def _open_requests(self) -> float:
        """How many, or NaN (as Prometheus writes it) when the log cannot be read."""
        try:
            return len(self._ops.view.open_requests())
        except AuditError:
            return float("nan")
