"""Rules for the host names of https:// and http:// that need no resolver.

Literal addresses are judged as the agent judges them, and localhost is one. A name of the cluster is refused while the
administrator allows no network at all. Otherwise it passes, since only the agent can resolve it.
"""

from __future__ import annotations

from collections.abc import Sequence

from manyserve.api.address_policy import Network, RefusedError, literal, refusal

ALLOWED = "it must be a public host, unless credentials.https.allowedNetworks in inferenceservice-config has it"
_CLUSTER = (".svc", ".cluster.local", ".local", ".internal")


def hostname_error(hostname: str, allowed: Sequence[Network]) -> str | None:
    """Return the sentence for a host name that must not be read from, or None."""
    name = hostname.lower()
    try:
        address = literal("127.0.0.1" if name == "localhost" or name.endswith(".localhost") else name)
    except RefusedError as error:
        return str(error)
    if address is not None:
        kind = refusal(address, allowed)
        return f"{hostname} is {kind}; {ALLOWED}" if kind else None
    inside = "." not in name or name.endswith(_CLUSTER)
    return f"{hostname} is a name inside the cluster; {ALLOWED}" if inside and not allowed else None
