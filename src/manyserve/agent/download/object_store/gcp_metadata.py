"""Google's metadata server: whether there is one, asked once in a while, so that elsewhere nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import aiohttp

_SECONDS = 1.0
_ASK_AGAIN = 300.0
_FLAVOR = {"Metadata-Flavor": "Google"}
_DEFAULT = "169.254.169.254"


class MetadataServer:
    """The server that `GCE_METADATA_HOST` names, else Google's own."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        host = environ.get("GCE_METADATA_HOST") or _DEFAULT
        self._url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/email"
        self._clock = clock
        self._known: tuple[float, bool] | None = None
        self._asking = asyncio.Lock()

    async def answers(self) -> bool:
        """Tell whether it answers, within a second, that there is an account; a no is asked again in minutes."""
        async with self._asking:
            if self._known is None or (not self._known[1] and self._clock() - self._known[0] > _ASK_AGAIN):
                self._known = (self._clock(), await self._ask())
            return self._known[1]

    async def _ask(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=_FLAVOR) as session,
                session.get(self._url, allow_redirects=False) as answer,
            ):
                # Other clouds have a server at this address, too.
                return answer.status == 200 and answer.headers.get("Metadata-Flavor") == "Google"
        except (aiohttp.ClientError, TimeoutError):
            return False
