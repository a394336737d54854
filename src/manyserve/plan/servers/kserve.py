"""KServe's own servers for scikit-learn, XGBoost and LightGBM: v1, configured by arguments, as 0.6 starts them.

They search the models folder itself for a model. Without one there, they load models by request, and their own model
name is the host's. A load request reaches one process, so there is one worker. They answer no request during a load, so
the liveness probe waits longer than a load may take.
"""

from __future__ import annotations

import math
from typing import Any

from manyserve.api import names
from manyserve.api.quantity import parse_quantity
from manyserve.plan.servers.launch import MODELS_DIR, LaunchRequest, LaunchSpec, ServerKind

LIVE = "/"
PATIENCE = 36
"""Failed liveness probes, 10 s apart: longer than an agent waits for a load."""
_THREADED = ("xgboost", "lightgbm")


def launch(request: LaunchRequest) -> LaunchSpec:
    """Return how the server is started; servers with threads get one per CPU of the limit."""
    threads = (f"--nthread={_threads(request.cpu)}",) if request.predictor in _THREADED else ()
    args = (
        f"--model_name={request.host}",
        f"--model_dir={MODELS_DIR}",
        f"--http_port={request.port}",
        f"--grpc_port={names.GRPC_PORT}",
        "--workers=1",
        *threads,
    )
    return LaunchSpec(args=args, live=LIVE, ready=LIVE, patience=PATIENCE)


def _threads(cpu: Any) -> int:
    try:
        return max(1, math.ceil(parse_quantity(cpu)))
    except ValueError:  # a rule refuses the host; its plan is never applied
        return 1


KSERVE = ServerKind(
    predictors=("sklearn", "xgboost", "lightgbm"),
    protocols=("v1",),
    launch=launch,
    dialect="v1",
    owned_args={
        "--model_dir": MODELS_DIR,
        "--http_port": "",
        "--grpc_port": str(names.GRPC_PORT),
        "--workers": "1",
    },
)
