"""DNS settings, lines for /etc/hosts and readiness gates of a pod."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import Field

from manyserve.plan.rules.pod.types import LabelKey, Part, Text, check, matching

_MOST_NAME_SERVERS = 3
_MOST_SEARCHES = 32
_PART = r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?"


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


_Address = Annotated[str, check(is_address, "it must be an IP address")]
_Search = Annotated[str, matching(rf"\.|{_PART}(\.{_PART})*\.?", "a domain, such as models.example.com")]
_HostName = Annotated[
    str,
    matching(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", "a host name, such as models.example.com"
    ),
]


class _Option(Part):
    name: Text
    value: str | None = None


class DnsConfig(Part):
    """DNS settings."""

    nameservers: Annotated[list[_Address], Field(max_length=_MOST_NAME_SERVERS)] | None = None
    searches: Annotated[list[_Search], Field(max_length=_MOST_SEARCHES)] | None = None
    options: list[_Option] | None = None


class HostAlias(Part):
    """A line for /etc/hosts. Another rule judges its address."""

    hostnames: list[_HostName] | None = None


class ReadinessGate(Part):
    """A further condition of a ready pod."""

    condition_type: LabelKey
