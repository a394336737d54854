"""Where an S3 may be that a secret or an annotation names: in the cloud or the cluster, never on the pod or its node.

Who writes a secret of a ServiceAccount may have a MinIO of their own, so private addresses are allowed here,
unlike for https sources. What the agent's settings name is not judged. The store's own client resolves the
name once more: an answer of the DNS that changes in between is not caught, and meets a store's signed request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.ssrf import ALLOWED, Address, AddressPolicy, RefusedError, literal
from manyserve.api.address_policy import Network

_WITHIN_THE_CLUSTER = {"a private address", "not a public address"}


async def check_endpoint(url: str, networks: tuple[Network, ...]) -> None:
    """Raise `DownloadError` unless every address of the endpoint may be read from."""
    host = urlsplit(url).hostname or ""
    try:
        found = literal(host)
        addresses = [found] if found else await _resolved(host)
        refused = next(filter(None, (_refusal(each, networks) for each in addresses)), "")
    except RefusedError as error:
        refused = str(error)
    except (OSError, UnicodeError) as error:
        raise DownloadError(f"the S3 endpoint {host} of a secret or an annotation was not found") from error
    if refused:
        sentence = f"the S3 endpoint {host} of a secret or an annotation is refused: {refused}"
        raise DownloadError(sentence, reason="forbidden", permanent=True)


def _refusal(address: Address, networks: tuple[Network, ...]) -> str:
    kind = AddressPolicy(networks).refusal(address)
    return f"it is {kind}; {ALLOWED}" if kind and kind not in _WITHIN_THE_CLUSTER else ""


async def _resolved(host: str) -> Iterable[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ip_address(str(each[4][0]).partition("%")[0]) for each in found]
