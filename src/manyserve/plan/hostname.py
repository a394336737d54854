"""The host name of a host outside the cluster: whether it is a DNS name, and which of several hosts keeps it.

The template of the host names is the administrator's, so two hosts may have the same one: with
`{{ .Name }}-{{ .Namespace }}`, a host `a-b` in `c` and a host `a` in `b-c`. The oldest one keeps it.
"""

from __future__ import annotations

import re

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import IngressConfig
from manyserve.plan.children.routing import host_url, hostname
from manyserve.plan.observed import Observed
from manyserve.plan.visibility import is_exposed

INVALID_HOST_NAME = "InvalidHostName"
HOST_NAME_TAKEN = "HostNameTaken"
MAX_LABEL, MAX_NAME = 63, 253
"""The largest lengths of a label of a DNS name, and of the name."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ADVICE = "shorten the name of the host or of its namespace, or change domainTemplate in inferenceservice-config"


def exposed_hostname(host: InferenceService, ingress: IngressConfig) -> str | None:
    """Return the host name at which a host is exposed; None when it is reachable inside the cluster only."""
    if not is_exposed(host, ingress):
        return None
    return hostname(Key(host.metadata.namespace, host.metadata.name), ingress)


def exposed_url(observed: Observed) -> str | None:
    """Return the URL of the host for its clients; None while it cannot be exposed at its host name."""
    host = observed.host
    return None if host is None or hostname_problem(observed) else host_url(host, observed.config.ingress)


def hostname_problem(observed: Observed) -> tuple[str, str] | None:
    """Return reason and message of a host that cannot be exposed at its host name, or None."""
    host = observed.host
    name = exposed_hostname(host, observed.config.ingress) if host else None
    if host is None or name is None:
        return None
    if error := dns_error(name):
        return INVALID_HOST_NAME, f"the host name {name} is no DNS name: {error}; {_ADVICE}"
    oldest = min((host, *observed.same_hostname), key=_age)
    if oldest is host:
        return None
    other = f"{oldest.metadata.namespace}/{oldest.metadata.name}"
    advice = "rename this one, or change domainTemplate in inferenceservice-config"
    return HOST_NAME_TAKEN, f"the host name {name} belongs to the older InferenceService {other}; {advice}"


def dns_error(name: str) -> str | None:
    """Return the reason for which a text is no DNS name, or None."""
    for label in name.split("."):
        if len(label) > MAX_LABEL:
            return f"its label {label} has {len(label)} characters, and {MAX_LABEL} are allowed"
        if not _LABEL.fullmatch(label):
            rule = "a label has letters a to z, digits, and - between them"
            return f"{rule}, and not {label}" if label else f"{rule}, and one is empty"
    return f"it has {len(name)} characters, and {MAX_NAME} are allowed" if len(name) > MAX_NAME else None


def _age(host: InferenceService) -> tuple[str, str]:
    """Return the sort key by which the oldest host is first."""
    return host.metadata.creation_timestamp, host.metadata.uid
