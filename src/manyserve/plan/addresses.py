"""Which hosts of https:// and http:// are refused before anybody resolves them.

A model's URI makes the agent speak to a host, so a user could have it ask what only the cluster may: the
metadata address of the cloud, the API server, other people's Services. What is no public address, in
whatever form it is written, is refused, unless the administrator's `allowedNetworks` has it. A name of the
cluster is let through when there are such networks at all: the agent judges what it resolves to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from manyserve.api.credentialsconfig import Network

Address = IPv4Address | IPv6Address

ALLOWED = "unless credentials.https.allowedNetworks in inferenceservice-config has it"
_ODD = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}\.?", re.IGNORECASE)
_CLUSTER = (".svc", ".cluster.local", ".local", ".internal")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def why_not_host(host: str, allowed: Sequence[Network]) -> str | None:
    """Return the sentence for a host that must not be read from, or None."""
    host = host.lower().strip("[]")
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"
    try:
        return _why_not_address(ipaddress.ip_address(host), allowed)
    except ValueError:
        return _why_not_name(host, allowed)


def _why_not_address(address: Address, allowed: Sequence[Network]) -> str | None:
    if _is_in(address, allowed):
        return None
    if all((each.is_global and not each.is_multicast) or _is_in(each, allowed) for each in _reached(address)):
        return None
    return f"the address {address} is not public; it must be a public host, {ALLOWED}"


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _reached(address: Address) -> tuple[Address, ...]:
    """Return where packets to an address really go: some IPv6 addresses stand for IPv4 ones."""
    if isinstance(address, IPv4Address):
        return (address,)
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(each for each in found if each is not None) or (address,)


def _why_not_name(name: str, allowed: Sequence[Network]) -> str | None:
    if ":" in name or not name or _ODD.fullmatch(name):
        return f"{name[:64]} is not an address; it must be a host name, or four numbers with dots between"
    if ("." not in name or name.endswith(_CLUSTER)) and not allowed:
        return f"{name[:64]} is a name inside the cluster; it must be a public host, {ALLOWED}"
    return None
