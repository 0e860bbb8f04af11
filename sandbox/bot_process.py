"""The real bot with a clock that can be moved: `python -m sandbox.bot_process CLOCK_FILE`, for the demo alone."""

import logging
import os
import sys
from pathlib import Path

from audit import AuditError
from bot.app import Mode
from bot.app import run_bot
from ops.errors import OpsError
from ops.settings import load_settings
from sandbox.page_clock import MovableClock


def main(clock_file: str) -> int:
    """Serve the configuration that $COUNTERSIGN_CONFIG names, in Socket Mode, until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("slack_bolt").setLevel(logging.WARNING)
    try:
        settings = load_settings(Path(os.environ["COUNTERSIGN_CONFIG"]))
        run_bot(settings, Mode(port=0), now=MovableClock(Path(clock_file)).now)
    except (OpsError, AuditError) as error:
        logging.getLogger("countersign").error("bot_cannot_start message=%s", error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
