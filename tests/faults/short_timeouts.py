"""`manyserve` with less patience than a cluster takes: 75 seconds for a silent watch, or 10 between two looks for a
certificate, are too long for a test of each change.
"""

from __future__ import annotations

import os

from manyserve.cli import main
from manyserve.cluster import informer
from manyserve.webhook.certs import rotation

SILENCE = "TEST_SILENCE_SECONDS"
LOOKS = "TEST_SECONDS_BETWEEN_LOOKS"

if __name__ == "__main__":
    if SILENCE in os.environ:
        object.__setattr__(informer.WATCH_TIMEOUTS, "silence", float(os.environ[SILENCE]))  # every informer's default
    if LOOKS in os.environ:
        rotation.REFRESH_INTERVAL = float(os.environ[LOOKS])
    main()
