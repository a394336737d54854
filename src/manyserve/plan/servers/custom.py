"""Custom servers: a container of the user, without arguments or variables from the operator.

Their paths are unknown, so all are published.
"""

from __future__ import annotations

from manyserve.api.inferenceservice import CUSTOM
from manyserve.plan.servers import kserve
from manyserve.plan.servers.launch import EVERYTHING, LaunchSpec, ServerKind

CUSTOM_V2 = ServerKind(
    predictors=(CUSTOM,), protocols=("v2",), launch=lambda _: LaunchSpec(), dialect="v2", public=EVERYTHING
)
CUSTOM_V1 = ServerKind(
    predictors=(CUSTOM,),
    protocols=("v1",),
    launch=lambda _: LaunchSpec(live=kserve.LIVE, ready=kserve.LIVE, failure_threshold=kserve.FAILURE_THRESHOLD),
    dialect="v1",
    public=EVERYTHING,
)
