"""Triton: started for explicit control, with its load API closed.

Whoever can load a model can run code in the pod, and Triton lets everybody who reaches its ports do it. With
`--http-restricted-api` and `--grpc-restricted-protocol` it asks for a header, which only the agent sends: the
pod's own UID, which Kubernetes tells both containers. It is stored nowhere, and each pod has another one.
Inference, health and metadata stay open. Triton before 23.11 (2.40) ends at once when it is given the first of
the two, so that an image whose tag says so is left open; `restrictLoadApi: false` leaves all open.
"""

from __future__ import annotations

import re

from manyserve.api import names
from manyserve.plan.servers.launch import KEY_ENV, MODELS_DIR, Start

HTTP_RESTRICTED = "--http-restricted-api"
GRPC_RESTRICTED = "--grpc-restricted-protocol"
LOAD_API = "model-repository"
_RELEASE = re.compile(r"(\d\d)\.(\d\d)(?!\d)")
_FIRST = (23, 11)


def start_triton(port: int, *, image: str | None, restrict: bool, has_command: bool) -> Start:
    """Return how Triton is started; `has_command`: the user gives the program."""
    closed = restrict and can_restrict(image or "")
    return Start(
        args=(
            *(() if has_command else ("tritonserver",)),
            f"--model-repository={MODELS_DIR}",
            "--model-control-mode=explicit",
            "--strict-readiness=false",
            f"--http-port={port}",
            "--http-thread-count=16",  # a load holds one while it lasts, and a hanging one for ever
            f"--grpc-port={names.GRPC_PORT}",
            f"--metrics-port={names.METRICS_PORT}",
            *(_restrictions() if closed else ()),
        ),
        has_key=closed,
    )


def can_restrict(image: str) -> bool:
    """Tell whether the image's Triton knows both flags; a tag that is no release of NVIDIA's is taken for a new one."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = _RELEASE.match(tag)
    return found is None or (int(found[1]), int(found[2])) >= _FIRST


def names_load_api(value: str) -> bool:
    """Tell whether the value of one of the two flags speaks of the load API."""
    return LOAD_API in (each.strip() for each in value.partition(":")[0].split(","))


def _restrictions() -> tuple[str, str]:
    key = f"{LOAD_API}:manyserve-key=$({KEY_ENV})"
    return f"{HTTP_RESTRICTED}={key}", f"{GRPC_RESTRICTED}={key}"
