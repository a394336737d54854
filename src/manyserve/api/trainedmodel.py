"""TrainedModel: one model that its user wants answered by one InferenceService.

The name of the object is the model's name on the server. `Ready` is True only while the model answers on
every ready replica of its host.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from manyserve.api.base import Meta, Wire, cel
from manyserve.api.conditions import Condition, Message
from manyserve.api.quantity import EXAMPLE, Memory

SCHEMES = ("gs",)
"""The schemes of `storageUri` that agents can download."""
LATER_SCHEMES = ("s3", "https", "http", "az", "abfss", "pvc", "hf")
"""Schemes that users of KServe know and that are refused with a sentence until agents can download them."""

SCHEME_SENTENCE = "must start with one of: " + ", ".join(f"{each}://" for each in SCHEMES)
URI_SENTENCE = "must be scheme://bucket/path, without spaces, user names, queries or '..'"
NAME_LIMIT = 128
"""An agent makes file names of the model's name and a digest, and those end at 255."""
MODEL_NAME_SENTENCE = f"metadata.name is the model's name in its URL: letters, digits and - only, at most {NAME_LIMIT}"
NAME_SENTENCE = "must be letters, digits and '-' and start with a letter"
FRAMEWORK_SENTENCE = "must be one word in lower case, such as pytorch, tensorflow or onnx"


class ModelSpec(Wire):
    """What to load: the files, the framework they are for, and the memory they need."""

    framework: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            json_schema_extra=cel(("self.matches('^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$')", FRAMEWORK_SENTENCE)),
            description="Framework of the model, such as pytorch, tensorflow, onnx or tensorrt. The host's "
            "model server must support it.",
        ),
    ]
    storage_uri: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            json_schema_extra=cel(
                (f"self.matches('^({'|'.join(SCHEMES)})://')", SCHEME_SENTENCE),
                (
                    r"self.matches('^[a-z0-9]+://[^\\s/?#@:]+(/[^\\s?#]*)?$') && !self.contains('..')",
                    URI_SENTENCE,
                ),
            ),
            description="Where the model's folder is stored: gs://bucket/path. For Triton the folder has "
            "config.pbtxt and one folder a version.",
        ),
    ]
    memory: Annotated[
        Memory,
        Field(
            description="Memory that the model needs when loaded, such as 512Mi or 1Gi. The sum over the models "
            "of a host never exceeds the memory limit of the host's server.",
            json_schema_extra={"maxLength": 64}
            | cel(
                (
                    "type(self) == int ? self > 0 : isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
                    f"must be {EXAMPLE}",
                )
            ),
        ),
    ]


class TrainedModelSpec(Wire):
    """Which model, and on which host."""

    inference_service: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            json_schema_extra=cel(("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')", NAME_SENTENCE)),
            description="Name of the InferenceService, in the same namespace, that is to answer for the model. "
            "It may be created later: the model waits.",
        ),
    ]
    model: Annotated[ModelSpec, Field(description="The model.")]


class Address(Wire):
    """Where something answers inside the cluster."""

    url: Annotated[str | None, Field(max_length=2048, description="URL inside the cluster.")] = None


class Failure(Wire):
    """What went wrong last on the way to a loaded model."""

    pod: Annotated[str, Field(max_length=253, description="Pod on which it failed.")]
    reason: Annotated[str, Field(max_length=128, description="DownloadFailed or LoadFailed.")]
    message: Annotated[Message, Field(description="The error, without secrets.")]
    attempt: Annotated[int, Field(ge=0, description="How many times it was tried.")] = 0
    next_try: Annotated[str | None, Field(max_length=64, description="When it is tried again.")] = None


class TrainedModelStatus(Wire):
    """What the operator knows about the model."""

    url: Annotated[str | None, Field(max_length=2048, description="Where the model answers, for clients.")] = None
    address: Annotated[Address | None, Field(description="Where the model answers inside the cluster.")] = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, description="What holds and what does not.")] = ()
    replicas: Annotated[int | None, Field(ge=0, description="Ready replicas of the host.")] = None
    loaded_replicas: Annotated[int | None, Field(ge=0, description="Replicas on which the model is loaded.")] = None
    loaded: Annotated[str | None, Field(max_length=32, description="Loaded replicas of replicas, such as 2/3.")] = None
    last_failure: Annotated[Failure | None, Field(description="The last failure, while it lasts.")] = None
    observed_generation: Annotated[int | None, Field(ge=0, description="Generation that this status is about.")] = None


class TrainedModel(Wire):
    """A model placed on an InferenceService that runs a multi-model server."""

    metadata: Meta
    spec: TrainedModelSpec
    status: TrainedModelStatus = TrainedModelStatus()
