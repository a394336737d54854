"""KServe's own servers for scikit-learn, XGBoost and LightGBM: v1, led by arguments, as 0.6 starts them.

They look for a model in the folder itself, and when there is none, take models one by one. The name of the
model that is not there is the host's. More than one process would be led only by chance: a load reaches one.
They answer nobody while they load, so one that is silent is restarted only when a load cannot be the reason.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from manyserve.api import names
from manyserve.api.quantity import parse_quantity
from manyserve.plan.servers.launch import MODELS_DIR, Start

SPEAKS_V1 = Start(dialect="v1", live="/", ready="/", patience=36)  # longer than an agent waits for a load
_THREADED = ("xgboost", "lightgbm")


def start_kserve_server(predictor: str, host: str, port: int, cpu: Any) -> Start:
    """Return how the server is started; `cpu` is its limit, by which those that have threads get them."""
    threads = (f"--nthread={_threads(cpu)}",) if predictor in _THREADED else ()
    args = (
        f"--model_name={host}",
        f"--model_dir={MODELS_DIR}",
        f"--http_port={port}",
        f"--grpc_port={names.GRPC_PORT}",
        "--workers=1",
        *threads,
    )
    return replace(SPEAKS_V1, args=args)


def _threads(cpu: Any) -> int:
    try:
        return max(1, math.ceil(parse_quantity(cpu)))
    except ValueError:  # the rules say so; what is planned meanwhile is never applied
        return 1
