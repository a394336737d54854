"""Resolution of host names, in threads of its own.

While a name server does not answer, a thread is blocked for half a minute. In the default pool that would stop the work
on the disk.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from manyserve.api.address_policy import Address

RESOLVER_THREADS = 64
"""More than all downloads at once, and those that timed out a moment ago."""
_THREADS = ThreadPoolExecutor(RESOLVER_THREADS, "dns")


class Resolver(AbstractResolver):
    """The system's resolver, without scoped addresses of IPv6."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host name. Raises `OSError`."""
        call = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        results = await asyncio.get_running_loop().run_in_executor(_THREADS, call)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=each_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each_family, _, proto, _, address in results
        ]

    async def close(self) -> None:
        """Keep the threads, which all resolvers share."""


async def addresses(hostname: str) -> list[Address]:
    """Return the addresses of a host name. Raises `OSError`."""
    results = await Resolver().resolve(hostname, family=socket.AF_UNSPEC)
    return [ip_address(each["host"].partition("%")[0]) for each in results]
