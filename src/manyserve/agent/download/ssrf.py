"""Which hosts may be read from, and that the address that was judged is the one that is connected to.

A storage URI is written by a user, and whoever it leads to is asked from within the cluster: by the metadata
service of a cloud, by a database without a password, by the model server itself. So only public addresses are
connected to, and those in the networks that the operator's settings allow. Names are judged by what they
resolve to, at the moment of the connection: `CheckedResolver` gives aiohttp only addresses that passed, and
an answer of the DNS that changes later changes nothing. Hosts that the settings themselves name are trusted.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from manyserve.api import agentenv
from manyserve.api.address_policy import Address, Network, RefusedError, literal, refusal

__all__ = ["ALLOWED", "Address", "AddressPolicy", "CheckedResolver", "RefusedError", "literal"]

ALLOWED = f"allowed are public addresses and those in {agentenv.ALLOWED_NETWORKS}"


@dataclass(frozen=True)
class AddressPolicy:
    """What may be read from besides the public addresses."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    """Names that the operator's settings give, whatever they resolve to."""

    def refusal(self, address: Address) -> str:
        """Return what an address is that keeps it from being read; empty when it may be."""
        return refusal(address, self.networks)

    def check_literal(self, host: str) -> None:
        """Judge a host that is an address, which no resolver sees. Raises `RefusedError`."""
        address = literal(host)
        kind = self.refusal(address) if address and host not in self.hosts else ""
        if kind:
            raise RefusedError(f"{host} is {kind}; {ALLOWED}")


class CheckedResolver(AbstractResolver):
    """Resolves names to the addresses that may be read from. Raises `RefusedError` when none may."""

    def __init__(self, allowed: AddressPolicy, lookup: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._lookup = lookup or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name."""
        found = await self._lookup.resolve(host, port, family)
        if host in self._allowed.hosts:
            return found
        return self._passed(host, found)

    def _passed(self, host: str, found: Sequence[ResolveResult]) -> list[ResolveResult]:
        kinds = [self._allowed.refusal(ip_address(each["host"].partition("%")[0])) for each in found]
        passed = [each for each, kind in zip(found, kinds, strict=True) if not kind]
        if found and not passed:
            raise RefusedError(f"{host} leads to {kinds[0]}; {ALLOWED}")
        return passed

    async def close(self) -> None:
        """Nothing is held."""
        await self._lookup.close()
