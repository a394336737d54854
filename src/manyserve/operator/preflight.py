"""Checks before the start of the operator, with one line of output that names the remedy."""

from __future__ import annotations

from manyserve.api.errors import StartupError
from manyserve.api.names import GROUP
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError, NotFound


async def check(client: KubeClient) -> None:
    """Return when the API server responds and serves our kinds. Raises `StartupError`."""
    for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL):
        try:
            served = await client.read(f"/apis/{kind.api_version}")
        except NotFound:
            served = {}
        except ClusterError as error:
            raise StartupError(f"the API server does not answer as it should: {error}") from error
        if kind.plural not in {resource.get("name") for resource in served.get("resources", ())}:
            raise StartupError(
                f"{kind.plural}.{GROUP} is not installed in the cluster; "
                f"install it with: manyserve crds --group {GROUP} | kubectl apply --server-side -f -"
            )
