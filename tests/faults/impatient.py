"""`manyserve operator` with less patience for a silent watch: 75 seconds are too long for a test of each change."""

from __future__ import annotations

import os

from manyserve.cli import main
from manyserve.cluster import informer

SILENCE = "TEST_SILENCE_SECONDS"

if __name__ == "__main__":
    if SILENCE in os.environ:
        object.__setattr__(informer.PATIENCE, "silence", float(os.environ[SILENCE]))  # every informer's default
    main()
