"""Status of an InferenceService in KServe's layout, with the figures of its models and shards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from manyserve.api.conditions import Condition
from manyserve.api.kube_model import KubeModel
from manyserve.api.trainedmodel import Address


class Traffic(KubeModel):
    """Share of the traffic for one revision."""

    revision_name: Annotated[str | None, Field(description="Name of the revision.")] = None
    latest_revision: Annotated[bool | None, Field(description="Whether it is the latest ready one.")] = None
    percent: Annotated[int | None, Field(description="Percent of the traffic.")] = None
    tag: Annotated[str | None, Field(description="prev, for the previous revision.")] = None


class ComponentStatus(KubeModel):
    """Revisions and addresses of one component."""

    latest_ready_revision: Annotated[str | None, Field(description="Newest revision that is ready.")] = None
    latest_created_revision: Annotated[str | None, Field(description="Newest revision.")] = None
    latest_rolledout_revision: Annotated[str | None, Field(description="Newest revision that had all the traffic.")] = (
        None
    )
    previous_rolledout_revision: Annotated[
        str | None, Field(description="Revision that had all the traffic before.")
    ] = None
    traffic: Annotated[tuple[Traffic, ...] | None, Field(description="Traffic by revision.")] = None
    url: Annotated[str | None, Field(description="URL of the component.")] = None
    address: Annotated[Address | None, Field(description="Address inside the cluster.")] = None


class Components(KubeModel):
    """Components of a host: its predictor."""

    predictor: Annotated[ComponentStatus | None, Field(description="The predictor.")] = None


TransitionStatus = Literal["UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"]


class ModelStates(KubeModel):
    """States of the predictor's pods in KServe's words."""

    active_model_state: Annotated[str | None, Field(description="Loaded while the predictor answers, else empty.")] = (
        None
    )
    target_model_state: Annotated[
        str | None, Field(description="State of the pods of the newest spec: Loading, Loaded or FailedToLoad.")
    ] = None


class ModelStatus(KubeModel):
    """State of the newest spec: KServe's field, which Argo CD's health check reads."""

    transition_status: Annotated[
        str | None,
        Field(
            description="UpToDate: all pods have the newest spec and answer. InProgress: they do not yet. "
            "BlockedByFailedLoad: a pod fails, or the roll-out is past its deadline. InvalidSpec: the spec is invalid."
        ),
    ] = None
    states: Annotated[
        ModelStates | None,
        Field(description="States of the predictor's pods; each TrainedModel has the state of its model."),
    ] = None


class InferenceServiceStatus(KubeModel):
    """Status of a host."""

    url: Annotated[str | None, Field(description="URL of the host, for clients.")] = None
    address: Annotated[Address | None, Field(description="Address inside the cluster.")] = None
    conditions: Annotated[tuple[Condition, ...], Field(description="Conditions by type.")] = ()
    components: Annotated[Components | None, Field(description="Components of the host.")] = None
    model_status: Annotated[ModelStatus | None, Field(description="Whether the pods run the newest spec.")] = None
    models: Annotated[str | None, Field(description="Placed models / all models, such as 2/3.")] = None
    memory: Annotated[
        str | None,
        Field(description="Memory of the placed models / limit, such as 1Gi/2Gi."),
    ] = None
    shards: Annotated[
        str | None,
        Field(description="Shards of a Heterogeneous host, such as s0,s1,s3: each is one pod with its own models."),
    ] = None
    pods: Annotated[
        str | None,
        Field(description="Ready shards / shards of a Heterogeneous host, and their bounds, such as 3/3 (1-8)."),
    ] = None
    copies: Annotated[
        str | None,
        Field(description="Loaded copies / copies that the models of a Heterogeneous host need, such as 12/14."),
    ] = None
    operator: Annotated[
        str | None,
        Field(
            description="Operator that manages the host: namespace/name of its Lease. Another operator writes nothing "
            "to the host and its models."
        ),
    ] = None
    observed_generation: Annotated[int | None, Field(description="Generation of the spec behind this status.")] = None
