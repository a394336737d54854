"""Address policy against SSRF: public addresses may be read from, others only in networks that an administrator allows.

A user writes the storage URI, and the request comes from inside the cluster. It could reach the metadata service of a
cloud, a database without a password, or the model server itself. The webhook and the plan check literal addresses. The
agent checks every address that a host name resolves to.
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
        # the numbers of some of them are in public ranges
        ("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254"),
    )
)
_KUBERNETES = (ip_network("34.118.224.0/20"),)  # the default of GKE for Services, inside a public range
_NOT_PUBLIC = (ip_network("192.88.99.0/24"), ip_network("64:ff9b:1::/48"))  # 6to4 relays, NAT64 of a local network
KUBERNETES_KIND = "an address of Kubernetes Services"
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


class RefusedError(Exception):
    """A host name may not be read from. The text has the reason, and no address that an internal name resolves to."""


def literal(hostname: str) -> Address | None:
    """Parse a literal address; None for a name. Raises `RefusedError` for odd spellings."""
    bare = hostname.rstrip(".")
    try:
        return ip_address(bare.partition("%")[0])
    except ValueError:
        if not _NUMBER.fullmatch(bare.rpartition(".")[2]):
            return None
    raise RefusedError(f"{hostname} is an address in an odd spelling; write four numbers from 0 to 255, with dots")


def refusal(address: Address, networks: Sequence[Network]) -> str:
    """Return why an address may not be read from, as a noun phrase; empty when it may be."""
    inner = list(_embedded(address))
    if any(each in network for each in (address, *inner) for network in networks):
        return ""
    return next(filter(None, map(_kind, inner or [address])), "")


def _embedded(address: Address) -> Iterator[Address]:
    """Yield the IPv4 addresses that an IPv6 address embeds: NAT64, IPv4-mapped, 6to4."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
        for inner in (address.ipv4_mapped, address.sixtofour):
            if inner:
                yield inner


def _kind(address: Address) -> str:
    """Return the description of a non-public address; empty for a public one."""
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    kinds = (
        (address in _PLATFORM, "an address of the cloud's own services"),
        (address.is_unspecified, "the unspecified address, which is this very machine"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (any(address in network for network in _NOT_PUBLIC), "not a public address"),
        (any(address in network for network in _KUBERNETES), KUBERNETES_KIND),
        (address.is_private or site_local, "a private address"),
        (address.is_reserved or not address.is_global, "not a public address"),
    )
    return next((kind for holds, kind in kinds if holds), "")
