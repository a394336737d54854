"""TrainedModel: one model on one InferenceService.

The name of the object is the model's name on the server. `Ready` is True only while the model answers on every ready
replica of its host, or with at least one copy on a heterogeneous host.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from manyserve.api.conditions import INTERN, Interned, Message
from manyserve.api.kube_model import CompactModel, KubeModel, Meta, Whole
from manyserve.api.quantity import Memory

NAME_LIMIT = 128
"""An agent makes file names of the model's name and a digest, and a file name has at most 255 bytes."""
MODEL_NAME_SENTENCE = f"metadata.name is the model's name in its URL: letters, digits and - only, at most {NAME_LIMIT}"
NAME_SENTENCE = "must be letters, digits and '-' and start with a letter"
DIGEST = "^sha256:[0-9a-f]{64}$"
DIGEST_SENTENCE = "must be sha256: and 64 small hexadecimal digits"
FRAMEWORK_SENTENCE = "must be one word in lower case, such as pytorch, tensorflow or onnx"


class ModelSpec(CompactModel):
    """The model: its files, its framework, and the memory that it needs."""

    framework: Annotated[
        str,
        Field(
            description="Framework of the model, such as pytorch, tensorflow, onnx or tensorrt. The host's "
            "model server must support it.",
        ),
    ]
    storage_uri: Annotated[
        str,
        Field(
            description="Where the model is stored: a folder, as gs://bucket/path, s3://bucket/path, "
            "https://account.blob.core.windows.net/container/path, az://container/path, "
            "abfss://container@account.dfs.core.windows.net/path, pvc://claim/path or "
            "hf://organisation/model[/folder][:revision]; or a file or an archive (tar, tar.gz, zip) at "
            "https://host/path. http:// needs credentials.https.allowHttp in inferenceservice-config. For Triton "
            "the folder has config.pbtxt and one folder a version.",
        ),
    ]
    memory: Annotated[
        Memory,
        Field(
            description="Memory that the model needs when loaded, such as 512Mi or 1Gi. The sum over the models "
            "of a host never exceeds the memory limit of the host's server.",
        ),
    ]
    digest: Annotated[
        str | None,
        Field(
            description="SHA-256 of the model's content, sha256:HEX, checked after each download. A new digest causes "
            "a new download. Computed in the model's folder: find . -type f -printf '%P\\n' | LC_ALL=C sort | "
            'while read -r f; do sha256sum "$f"; done | sha256sum',
        ),
    ] = None
    refresh_interval: Annotated[
        str | None,
        Field(
            description="Interval of the checks for new content at storageUri, such as 10m; at least 10s. "
            "Unset: no checks, a new version is another storageUri or digest.",
        ),
    ] = None


class TrainedModelSpec(CompactModel):
    """A model and its host."""

    inference_service: Annotated[
        str,
        Field(
            description="Name of the InferenceService, in the same namespace, that serves the model. "
            "It may be created later: the model waits.",
        ),
    ]
    model: Annotated[ModelSpec, Field(description="The model.")]
    min_replicas: Annotated[
        int | None, Field(description="Fewest copies, each on another pod; unset: 1. For Heterogeneous hosts.")
    ] = None
    max_replicas: Annotated[
        int | None,
        Field(
            description="Most copies; unset: minReplicas. Above it the model is scaled on its own traffic. For "
            "Heterogeneous hosts.",
        ),
    ] = None
    scale_metric: Annotated[
        str | None,
        Field(
            description="Metric of a copy: concurrency, the requests in flight, or rps, the requests a second. Unset: "
            "that of the host. For Heterogeneous hosts.",
        ),
    ] = None
    scale_target: Annotated[
        int | None,
        Field(description="Target of the metric for one copy; unset: that of the host. For Heterogeneous hosts."),
    ] = None


class Address(CompactModel):
    """Address inside the cluster."""

    url: Annotated[str | None, Field(description="URL inside the cluster.")] = None


class Failure(KubeModel):
    """The last failed download or load of a model."""

    pod: Annotated[str, Field(description="Pod on which it failed.")]
    reason: Annotated[str, Field(description="DownloadFailed or LoadFailed.")]
    message: Annotated[Message, Field(description="The error, without secrets.")]
    attempt: Annotated[int, Field(description="Number of attempts.")] = 0
    next_try: Annotated[str | None, Field(description="Time of the next attempt.")] = None


class PlacedBy(CompactModel):
    """The host that placed a model."""

    name: Annotated[str, Field(description="Name of the InferenceService.")]
    uid: Annotated[str, Field(description="Its uid: a later InferenceService of this name is another host.")]


@lru_cache(maxsize=4096)
def placed_by(name: str, uid: str) -> PlacedBy:
    """Return an interned `PlacedBy`: the same object for all models of the host."""
    return PlacedBy(name=name, uid=uid)


_IDENTITY_LIMIT = 512
"""Characters of a name and a uid that are interned: Kubernetes has 253 and 36, and a status may be forged."""


def _intern(own: PlacedBy | None) -> PlacedBy | None:
    return own if own is None or len(own.name) + len(own.uid) > _IDENTITY_LIMIT else placed_by(own.name, own.uid)


_INTERN_HOST = AfterValidator(_intern)


class TrainedModelStatus(CompactModel):
    """Status of a model."""

    url: Annotated[str | None, Field(description="URL of the model, for clients.")] = None
    address: Annotated[Address | None, Field(description="Address inside the cluster.")] = None
    conditions: Annotated[tuple[Interned, ...], Field(description="Conditions by type."), INTERN] = ()
    replicas: Annotated[
        int | None,
        Field(description="Ready replicas of the host; on a Heterogeneous host the copies that the model needs."),
    ] = None
    loaded_replicas: Annotated[
        int | None,
        Field(description="Replicas on which the model is loaded; on a Heterogeneous host its loaded copies."),
    ] = None
    loaded: Annotated[str | None, Field(description="loadedReplicas / replicas, such as 2/3.")] = None
    shards: Annotated[
        str | None,
        Field(
            description="Shards with a copy of the model, such as s0,s3: each is one pod of a Heterogeneous host. "
            "Not given for a host with the same models on all pods."
        ),
    ] = None
    last_failure: Annotated[Failure | None, Field(description="The last failure, while it persists.")] = None
    observed_generation: Annotated[int | None, Field(description="Generation of the spec behind this status.")] = None
    observed_uid: Annotated[
        str | None,
        Field(
            description="uid of the TrainedModel that this status was written for. A status from a backup has another "
            "uid and is ignored.",
        ),
    ] = None
    placed_by: Annotated[
        PlacedBy | None,
        Field(
            description="InferenceService that placed the model. When it is deleted, the operator deletes the model."
        ),
        _INTERN_HOST,
    ] = None


class TrainedModel(CompactModel, Whole):
    """A model placed on an InferenceService that runs a multi-model server."""

    metadata: Meta
    spec: TrainedModelSpec
    status: TrainedModelStatus = TrainedModelStatus()
