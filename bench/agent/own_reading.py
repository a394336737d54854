"""One download by the agent's own downloader, in a process of its own: `own_reading URI ENDPOINT FOLDER`.

Prints the seconds and the most memory that the process had, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import uvloop

from bench.agent.peer_reading import peak
from manyserve.agent.download import choose, downloaders
from manyserve.agent.settings import AgentSettings, SourceSettings


class _Nobody:
    """Receives the progress of a download."""

    def arrived(self, count: int) -> None:
        """Listen to nothing."""

    def stored(self, count: int) -> None:
        """Listen to nothing."""

    def complete(self) -> None:
        """Listen to nothing."""


async def _read(uri: str, endpoint: str, folder: Path) -> None:
    sources = SourceSettings(gcs_endpoint=endpoint, s3_endpoint=endpoint)
    source = choose(uri, downloaders(AgentSettings(sources=sources)))
    await source.fetch(await source.find(uri), folder, _Nobody())


if __name__ == "__main__":
    began = time.monotonic()
    uvloop.run(_read(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "bytes": peak()}))
