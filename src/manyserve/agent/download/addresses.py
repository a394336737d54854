"""Which hosts may be read from, and that the address that was judged is the one that is connected to.

A storage URI is written by a user, and whoever it leads to is asked from within the cluster: by the metadata
service of a cloud, by a database without a password, by the model server itself. So only public addresses are
connected to, and those in the networks that the operator's settings allow. Names are judged by what they
resolve to, at the moment of the connection: `CheckedResolver` gives aiohttp only addresses that passed, and
an answer of the DNS that changes later changes nothing. Hosts that the settings themselves name are trusted.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from manyserve.agent.variables import Network

Address = IPv4Address | IPv6Address

ALLOWED = "allowed are public addresses and those in MANYSERVE_ALLOWED_NETWORKS"
_NAT64 = ip_network("64:ff9b::/96")
_PLATFORM = frozenset(
    map(
        ip_address,
        # some of them are public by their number
        ("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254"),
    )
)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


class RefusedError(Exception):
    """A host may not be read from; the text says why, without the addresses that an inner name resolves to."""


@dataclass(frozen=True)
class Allowed:
    """What may be read from besides the public addresses."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    """Names that the operator's settings give, whatever they resolve to."""

    def refusal(self, address: Address) -> str:
        """Return what an address is that keeps it from being read; empty when it may be."""
        inner = list(_embedded(address))
        if any(each in network for each in (address, *inner) for network in self.networks):
            return ""
        return next(filter(None, map(_kind, inner or [address])), "")

    def check_literal(self, host: str) -> None:
        """Judge a host that is an address, which no resolver sees. Raises `RefusedError`."""
        address = literal(host)
        kind = self.refusal(address) if address and host not in self.hosts else ""
        if kind:
            raise RefusedError(f"{host} is {kind}; {ALLOWED}")


def literal(host: str) -> Address | None:
    """Return the address that a host spells out; None for a name. Raises `RefusedError` for odd spellings."""
    bare = host.rstrip(".")
    try:
        return ip_address(bare.partition("%")[0])
    except ValueError:
        if not _NUMBER.fullmatch(bare.rpartition(".")[2]):
            return None
    raise RefusedError(f"{host} is an address in an odd spelling; write four numbers from 0 to 255, with dots")


def _embedded(address: Address) -> Iterator[Address]:
    """Yield the IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
        for inner in (address.ipv4_mapped, address.sixtofour):
            if inner:
                yield inner


def _kind(address: Address) -> str:
    """Return what a non-public address is, in words; empty for a public one."""
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    kinds = (
        (address in _PLATFORM, "an address of the cloud's own services"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (address.is_private or site_local, "a private address"),
        (address.is_reserved or not address.is_global, "not a public address"),
    )
    return next((kind for holds, kind in kinds if holds), "")


class CheckedResolver(AbstractResolver):
    """Resolves names to the addresses that may be read from. Raises `RefusedError` when none may."""

    def __init__(self, allowed: Allowed, lookup: AbstractResolver | None = None) -> None:
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
