"""`manyserve` with short timeouts: 75 s for a silent watch, and 10 s between refreshes of a certificate, are too long
for tests.
"""

from __future__ import annotations

import os

from manyserve.cli import main
from manyserve.cluster import informer
from manyserve.webhook.certs import rotation

SILENCE = "TEST_SILENCE_SECONDS"
REFRESH = "TEST_SECONDS_BETWEEN_REFRESHES"

if __name__ == "__main__":
    if SILENCE in os.environ:
        object.__setattr__(informer.WATCH_TIMEOUTS, "silence", float(os.environ[SILENCE]))  # every informer's default
    if REFRESH in os.environ:
        rotation.REFRESH_INTERVAL = float(os.environ[REFRESH])
    main()
