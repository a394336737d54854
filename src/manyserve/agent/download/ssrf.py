"""SSRF guard: only addresses that passed a check are connected to.

A user writes the storage URI, and the agent requests it from inside the cluster. Without a check, it could reach
the metadata service of a cloud, a database without a password, or the model server.
So only public addresses, and those in the allowed networks of the settings, are connected to.
Names are checked by the addresses they resolve to at the moment of the connection. `CheckedResolver` gives aiohttp
only addresses that passed, so a later answer of the DNS changes nothing. Hosts from the settings are trusted.

An S3 endpoint from a secret or an annotation may have a private address, for example a MinIO of the user.
It must not be on the pod or its node. An endpoint from the agent's settings is not checked.
The store's client resolves its name again. A DNS answer that changes in between is not caught,
and the other host then gets a signed request of that store.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.dns import Resolver, addresses
from manyserve.api import agentenv
from manyserve.api.address_policy import KUBERNETES_KIND, Address, Network, RefusedError, literal, refusal

__all__ = ["AddressPolicy", "CheckedResolver", "RefusedError", "check_endpoint", "literal"]

_ALLOWED = f"allowed are public addresses and those in {agentenv.ALLOWED_NETWORKS}"
_CLUSTER_KINDS = {
    "a private address",
    "not a public address",
    KUBERNETES_KIND,
}  # kinds of addresses that a store may have


@dataclass(frozen=True)
class AddressPolicy:
    """The networks and hosts that are allowed besides the public addresses."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    """Host names from the settings. They are allowed whatever they resolve to."""

    def refusal(self, address: Address) -> str:
        """Return the kind of a refused address; empty when it is allowed."""
        return refusal(address, self.networks)

    def check_literal(self, hostname: str) -> None:
        """Check an address in a URL, which no resolver gets. Raises `RefusedError`."""
        address = literal(hostname)
        kind = self.refusal(address) if address and hostname not in self.hosts else ""
        if kind:
            raise RefusedError(f"{hostname} is {kind}; {_ALLOWED}")


class CheckedResolver(AbstractResolver):
    """A resolver that returns allowed addresses only. Raises `RefusedError` when there are none of them."""

    def __init__(self, policy: AddressPolicy, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or Resolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a host name."""
        results = await self._resolver.resolve(host, port, family)
        if host in self._policy.hosts:
            return results
        return self._allowed(host, results)

    def _allowed(self, hostname: str, results: Sequence[ResolveResult]) -> list[ResolveResult]:
        kinds = [self._policy.refusal(ip_address(each["host"].partition("%")[0])) for each in results]
        allowed = [each for each, kind in zip(results, kinds, strict=True) if not kind]
        if results and not allowed:
            raise RefusedError(f"{hostname} leads to {kinds[0]}; {_ALLOWED}")
        return allowed

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()


async def check_endpoint(url: str, networks: tuple[Network, ...]) -> None:
    """Raise `DownloadError` unless every address of an S3 endpoint is allowed."""
    hostname = urlsplit(url).hostname or ""
    try:
        address = literal(hostname)
        resolved = [address] if address else await addresses(hostname)
        problem = next(filter(None, (_endpoint_problem(each, networks) for each in resolved)), "")
    except RefusedError as error:
        problem = str(error)
    except (OSError, UnicodeError) as error:
        raise DownloadError(f"the S3 endpoint {hostname} of a secret or an annotation was not found") from error
    if problem:
        sentence = f"the S3 endpoint {hostname} of a secret or an annotation is refused: {problem}"
        raise DownloadError(sentence, reason="forbidden", permanent=True)


def _endpoint_problem(address: Address, networks: tuple[Network, ...]) -> str:
    kind = AddressPolicy(networks).refusal(address)
    return f"it is {kind}; {_ALLOWED}" if kind and kind not in _CLUSTER_KINDS else ""
