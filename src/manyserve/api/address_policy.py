"""Which addresses may be read from: the public ones, and those in networks that an administrator allows.

A storage URI is written by a user, and whoever it leads to is asked from within the cluster: by the metadata
service of a cloud, by a database without a password, by the model server itself. The webhook and the plan
judge literal addresses with this, the agent every address that a name resolves to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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


def literal(host: str) -> Address | None:
    """Return the address that a host spells out; None for a name. Raises `RefusedError` for odd spellings."""
    bare = host.rstrip(".")
    try:
        return ip_address(bare.partition("%")[0])
    except ValueError:
        if not _NUMBER.fullmatch(bare.rpartition(".")[2]):
            return None
    raise RefusedError(f"{host} is an address in an odd spelling; write four numbers from 0 to 255, with dots")


def refusal(address: Address, networks: Sequence[Network]) -> str:
    """Return what an address is that keeps it from being read; empty when it may be."""
    inner = list(_embedded(address))
    if any(each in network for each in (address, *inner) for network in networks):
        return ""
    return next(filter(None, map(_kind, inner or [address])), "")


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
        (address.is_unspecified, "the unspecified address, which is this very machine"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (address.is_private or site_local, "a private address"),
        (address.is_reserved or not address.is_global, "not a public address"),
    )
    return next((kind for holds, kind in kinds if holds), "")
