"""Registry of model servers. A server is one row here, one file in this folder and one in `agent/servers/`.

A new predictor also needs a row in `api.inferenceservice.PROTOCOLS` and a field in `PredictorSpec`, for the CRD.
"""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.api.inferenceservice import CUSTOM, DEFAULT_PROTOCOLS, PredictorSpec
from manyserve.plan.servers.custom import CUSTOM_V1, CUSTOM_V2
from manyserve.plan.servers.kserve import KSERVE
from manyserve.plan.servers.launch import ServerKind
from manyserve.plan.servers.mlserver import MLSERVER
from manyserve.plan.servers.triton import TRITON

SERVERS: Mapping[str, ServerKind] = {
    "triton": TRITON,
    "kserve": KSERVE,
    "mlserver": MLSERVER,
    "custom-v1": CUSTOM_V1,
    "custom-v2": CUSTOM_V2,
}
_BY_PREDICTOR = {
    (name, protocol): kind for kind in SERVERS.values() for name in kind.predictors for protocol in kind.protocols
}


def server_kind(predictor: PredictorSpec) -> ServerKind:
    """Return the registry entry of a predictor's server.

    A protocol that the server lacks falls back to the default protocol. A predictor without a server counts as custom.
    """
    name = predictor.name or CUSTOM
    kind = _BY_PREDICTOR.get((name, predictor.protocol))
    return kind or _BY_PREDICTOR[name, DEFAULT_PROTOCOLS[name]]
