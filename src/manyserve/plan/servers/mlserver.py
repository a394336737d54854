"""MLServer: the v2 server for scikit-learn, XGBoost and LightGBM, led by its environment.

Its image starts it on the folder that `MLSERVER_MODELS_DIR` names. It writes metrics and environments into the
folder it runs in, which is read-only here; so they are sent to `/tmp`. The runtime is said for all models; a
model that says another one in its `model-settings.json` gets that. It calls itself ready only while every model
is, and one that loads slowly would take the others' answers away; so the pod is asked whether it lives.
"""

from __future__ import annotations

from manyserve.api import names
from manyserve.plan.servers.launch import MODELS_DIR, Start

RUNTIMES = {
    "sklearn": "mlserver_sklearn.SKLearnModel",
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
}


def start_mlserver(predictor: str, port: int) -> Start:
    """Return how MLServer is started for one of the frameworks."""
    return Start(
        dialect="mlserver",
        ready="/v2/health/live",
        env={
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(names.GRPC_PORT),
            "MLSERVER_METRICS_PORT": str(names.METRICS_PORT),
            "MLSERVER_MODELS_DIR": MODELS_DIR,
            "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
            "MLSERVER_MODEL_IMPLEMENTATION": RUNTIMES[predictor],
            "MLSERVER_METRICS_DIR": "/tmp/metrics",  # noqa: S108 - the container's own, an emptyDir
            "MLSERVER_ENVIRONMENTS_DIR": "/tmp/environments",  # noqa: S108 - the same
        },
    )
