"""KServe's servers for scikit-learn, XGBoost and LightGBM: protocol v1, started with the arguments of KServe 0.6.

At its start a server searches the top of the models folder for a model. Without one there, it loads models by request,
and its own model name is the host's. A load request reaches one process, so there is one worker. A server answers no
request during a load, so its liveness probe fails only after longer than a load may take.
"""

from __future__ import annotations

import math
from typing import Any

from manyserve.api import names
from manyserve.api.quantity import parse_quantity
from manyserve.plan.servers.flags import HTTP_PORT_VALUE, Flag, FlagTable, Use
from manyserve.plan.servers.launch import MODELS_DIR, LaunchRequest, LaunchSpec, PublicPath, ServerKind

LIVE = "/"
FAILURE_THRESHOLD = 36
"""Failed liveness probes, 10 s apart: together longer than an agent waits for a load."""
_THREADED = ("xgboost", "lightgbm")


def launch(request: LaunchRequest) -> LaunchSpec:
    """Return the launch of the server; a server with threads gets one for each CPU of its limit."""
    threads = (f"--nthread={_threads(request.cpu)}",) if request.predictor in _THREADED else ()
    args = (
        f"--model_name={request.name}",
        f"--model_dir={MODELS_DIR}",
        f"--http_port={request.port}",
        f"--grpc_port={names.GRPC_PORT}",
        "--workers=1",
        *threads,
    )
    return LaunchSpec(args=args, live=LIVE, ready=LIVE, failure_threshold=FAILURE_THRESHOLD)


def _threads(cpu: Any) -> int:
    try:
        return max(1, math.ceil(parse_quantity(cpu)))
    except ValueError:  # a rule refuses this host, so the plan is never applied
        return 1


KSERVE = ServerKind(
    predictors=("sklearn", "xgboost", "lightgbm"),
    protocols=("v1",),
    launch=launch,
    dialect="v1",
    public=(PublicPath(LIVE, prefix=False), PublicPath("/v1/models")),
    flags=FlagTable(
        flags=(
            Flag("model_dir", "folder", Use.OURS, "the agent stores the models there", (MODELS_DIR,)),
            Flag("http_port", "number", Use.OURS, "the agent and the Service connect to it", (HTTP_PORT_VALUE,)),
            Flag("grpc_port", "number", Use.OURS, "the Service connects to it", (str(names.GRPC_PORT),)),
            Flag("workers", "number", Use.OURS, "a load reaches one process", ("1",)),
        )
    ),
)
