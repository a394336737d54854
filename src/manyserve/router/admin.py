"""Client of Envoy's administration interface, on its unix socket."""

from __future__ import annotations

from pathlib import Path

import aiohttp

_SECONDS = 1.0
_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_ACTIVE = r"^http\.(http|grpc)\.downstream_rq_active$"


class EnvoyAdmin:
    """Client of one Envoy. Without an answer each method returns the worst case."""

    def __init__(self, socket: Path) -> None:
        self._session = aiohttp.ClientSession(
            "http://envoy",
            connector=aiohttp.UnixConnector(str(socket), force_close=True),
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def is_ready(self) -> bool:
        """Return whether Envoy has its configuration and is not draining."""
        return await self._request("GET", "/ready") == 200

    async def is_running(self) -> bool:
        """Return whether Envoy answers."""
        return await self._request("GET", "/ready") is not None

    async def fail_health_check(self) -> bool:
        """Make Envoy not ready, and have it close connections after their next response. Return whether it answered."""
        return await self._request("POST", "/healthcheck/fail") == 200

    async def pass_health_check(self) -> None:
        """Make Envoy ready again: an earlier program may have been killed after the begin of its stop."""
        await self._request("POST", "/healthcheck/ok")

    async def quit(self) -> None:
        """End Envoy."""
        await self._request("POST", "/quitquitquit")

    async def active_requests(self) -> int:
        """Return the number of running requests of clients; 0 without an answer."""
        try:
            async with self._session.get("/stats", params={"filter": _ACTIVE, "format": "json"}) as answer:
                stats = (await answer.json())["stats"]
            return sum(int(each.get("value", 0)) for each in stats)
        except (*_ERRORS, KeyError, TypeError, AttributeError):
            return 0

    async def _request(self, method: str, path: str) -> int | None:
        try:
            async with self._session.request(method, path) as answer:
                await answer.read()
                return answer.status
        except _ERRORS:
            return None
