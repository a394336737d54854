"""The status of an InferenceService, as KServe lays it out, with what is placed beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from manyserve.api.conditions import Condition
from manyserve.api.kube_model import KubeModel
from manyserve.api.trainedmodel import Address


class Traffic(KubeModel):
    """How much of the traffic a revision gets."""

    revision_name: Annotated[str | None, Field(description="Name of the revision.")] = None
    latest_revision: Annotated[bool | None, Field(description="Whether it is the latest ready one.")] = None
    percent: Annotated[int | None, Field(description="Percent of the traffic.")] = None
    tag: Annotated[str | None, Field(description="prev, for the one before.")] = None


class ComponentStatus(KubeModel):
    """Revisions and addresses of one component."""

    latest_ready_revision: Annotated[str | None, Field(description="Newest that is ready.")] = None
    latest_created_revision: Annotated[str | None, Field(description="Newest.")] = None
    latest_rolledout_revision: Annotated[str | None, Field(description="Newest that has had all the traffic.")] = None
    previous_rolledout_revision: Annotated[str | None, Field(description="The one that had it before.")] = None
    traffic: Annotated[tuple[Traffic, ...] | None, Field(description="Who gets the traffic.")] = None
    url: Annotated[str | None, Field(description="URL of the component.")] = None
    address: Annotated[Address | None, Field(description="Address inside the cluster.")] = None


class Components(KubeModel):
    """The components of a host; today its predictor."""

    predictor: Annotated[ComponentStatus | None, Field(description="The predictor.")] = None


class InferenceServiceStatus(KubeModel):
    """What the operator knows about the host."""

    url: Annotated[str | None, Field(description="Where the host answers, for clients.")] = None
    address: Annotated[Address | None, Field(description="Where it answers inside the cluster.")] = None
    conditions: Annotated[tuple[Condition, ...], Field(description="What holds and what does not.")] = ()
    components: Annotated[Components | None, Field(description="Its components.")] = None
    models: Annotated[str | None, Field(description="Placed models of all models, such as 2/3.")] = None
    memory: Annotated[
        str | None,
        Field(description="Memory of the placed models of the limit, such as 1Gi/2Gi."),
    ] = None
    observed_generation: Annotated[int | None, Field(description="Generation that this status is about.")] = None
