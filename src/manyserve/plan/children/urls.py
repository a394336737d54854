"""URLs of hosts and models, from outside and inside the cluster."""

from __future__ import annotations

import re

from manyserve.api.names import Key
from manyserve.api.servingconfig import IngressConfig

_PLACEHOLDER = re.compile(r"\{\{\s*\.(Name|Namespace|IngressDomain)\s*\}\}")


def hostname(key: Key, ingress: IngressConfig) -> str:
    """Return the DNS name of the host outside the cluster."""
    values = {"Name": key.name, "Namespace": key.namespace, "IngressDomain": ingress.ingress_domain}
    return _PLACEHOLDER.sub(lambda match: values[match[1]], ingress.domain_template)


def host_url(key: Key, ingress: IngressConfig) -> str:
    """Return the URL of the host outside the cluster."""
    return f"{ingress.url_scheme}://{hostname(key, ingress)}"


def host_address(key: Key) -> str:
    """Return the URL of the host inside the cluster."""
    return f"http://{key.name}.{key.namespace}.svc.cluster.local"


def model_path(model: str, protocol: str) -> str:
    """Return the URL path of a model's inference endpoint in the protocol of its server."""
    return f"/v1/models/{model}:predict" if protocol == "v1" else f"/v2/models/{model}/infer"
