"""MLServer: the v2 server for scikit-learn, XGBoost and LightGBM, configured by environment variables.

The image starts MLServer on the folder in `MLSERVER_MODELS_DIR`. MLServer writes metrics and environments into its
working folder, which is read-only here, so both go to `/tmp`. One runtime is set for all models; the
`model-settings.json` of a model overrides it. MLServer is ready only while all models are, so a slow load would remove
the pod from the Service. The readiness probe therefore uses the liveness endpoint.
"""

from __future__ import annotations

from manyserve.api import names
from manyserve.plan.servers.flags import HTTP_PORT_VALUE
from manyserve.plan.servers.launch import MODELS_DIR, V2_PATHS, LaunchRequest, LaunchSpec, ServerKind

RUNTIMES = {
    "sklearn": "mlserver_sklearn.SKLearnModel",
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
}


def launch(request: LaunchRequest) -> LaunchSpec:
    """Return the launch of MLServer with the runtime of the predictor's framework."""
    return LaunchSpec(
        ready="/v2/health/live",
        env={
            "MLSERVER_HTTP_PORT": str(request.port),
            "MLSERVER_GRPC_PORT": str(names.GRPC_PORT),
            "MLSERVER_METRICS_PORT": str(names.METRICS_PORT),
            "MLSERVER_MODELS_DIR": MODELS_DIR,
            "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
            "MLSERVER_MODEL_IMPLEMENTATION": RUNTIMES[request.predictor],
            "MLSERVER_METRICS_DIR": "/tmp/metrics",  # noqa: S108 - the container's own, an emptyDir
            "MLSERVER_ENVIRONMENTS_DIR": "/tmp/environments",  # noqa: S108 - the same
        },
    )


MLSERVER = ServerKind(
    predictors=tuple(RUNTIMES),
    protocols=("v2",),
    launch=launch,
    dialect="mlserver",
    public=V2_PATHS,
    owned_env={
        "MLSERVER_HTTP_PORT": HTTP_PORT_VALUE,
        "MLSERVER_GRPC_PORT": str(names.GRPC_PORT),
        "MLSERVER_METRICS_PORT": str(names.METRICS_PORT),
        "MLSERVER_MODELS_DIR": MODELS_DIR,
        "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",  # KServe 0.8 stores this variable on its hosts
    },
)
