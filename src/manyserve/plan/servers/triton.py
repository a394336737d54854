"""Triton: started with explicit model control and a restricted load API.

The reasons are in docs/decisions/0009-a-lock-on-tritons-load-api.md. A client that can load a model can run code in the
pod, and by default each client of Triton's ports can load one. With `--http-restricted-api` and
`--grpc-restricted-protocol` Triton requires a header, which only the agent sends. The header's value is the pod's UID,
which both containers get from Kubernetes. It is stored nowhere, and it differs from pod to pod. Inference, health and
metadata stay open. The APIs of shared memory, traces and logs have the same key, except those to which the user gives
another one: they change the server for all clients, and write into its container.

Triton before 23.11 (2.40) exits on the first of the two flags, so an image with such a tag has an open load API.
`restrictLoadApi: false` opens it for all images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from manyserve.api import agentenv, names
from manyserve.api.servingconfig import ANY_BACKEND
from manyserve.plan.servers.flags import read_arguments
from manyserve.plan.servers.launch import MODELS_DIR, V2_PATHS, LaunchRequest, LaunchSpec, ServerKind
from manyserve.plan.servers.triton_flags import (
    GRPC_RESTRICTED,
    HTTP_RESTRICTED,
    LOAD_API,
    LOCKED,
    TRITON_FLAGS,
    restricted_apis,
)

_RELEASE = re.compile(r"(\d\d)\.(\d\d)(?!\d)")
_FIRST_RELEASE = (23, 11)


def launch(request: LaunchRequest) -> LaunchSpec:
    """Return the launch of Triton."""
    enabled = request.config is None or request.config.restrict_load_api
    restricted = enabled and can_restrict(request.image or "")
    return LaunchSpec(
        args=(
            *(() if request.has_command else (TRITON_FLAGS.program,)),
            f"--model-repository={MODELS_DIR}",
            "--model-control-mode=explicit",
            "--strict-readiness=false",
            f"--http-port={request.port}",
            "--http-thread-count=16",  # a load occupies a thread, and a load that hangs never frees it
            f"--grpc-port={names.GRPC_PORT}",
            f"--metrics-port={names.METRICS_PORT}",
            *(_restrictions(request.args) if restricted else ()),
        ),
        backends=request.config.allowed_backends if request.config else (ANY_BACKEND,),
        has_key=restricted,
    )


def can_restrict(image: str) -> bool:
    """Return whether the image's Triton has both flags; a tag that is no release of NVIDIA counts as a recent one."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    release = _RELEASE.match(tag)
    return release is None or (int(release[1]), int(release[2])) >= _FIRST_RELEASE


def _restrictions(args: Sequence[str]) -> Iterator[str]:
    """Yield the flags that lock our APIs. Triton refuses an API that two flags name, so the user's are left out."""
    given = list(read_arguments(args, TRITON_FLAGS))
    for flag in (HTTP_RESTRICTED, GRPC_RESTRICTED):
        values = (each.value for each in given if each.flag is not None and each.flag.name == flag)
        of_user = {api for value in values for api in restricted_apis(value)}
        apis = (LOAD_API, *(api for api in LOCKED if api not in of_user))
        yield f"--{flag}={','.join(apis)}:manyserve-key=$({agentenv.SERVER_KEY})"


TRITON = ServerKind(
    predictors=("triton",),
    protocols=("v2",),
    launch=launch,
    dialect="v2",
    public=V2_PATHS,
    flags=TRITON_FLAGS,
    owned_env={agentenv.SERVER_KEY: None, "AIP_MODE": None},  # AIP_MODE opens the endpoint of Vertex AI
)
