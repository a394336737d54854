"""Fields of KFServing and KServe, up to 0.20, that are not supported, or not yet.

The CRD preserves and describes each of them. The rules refuse it on a managed host.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Level = Literal["spec", "predictor", "server"]


NOT_YET = "is not supported yet"


class Unsupported(NamedTuple):
    """A field: its parent object, its name, its description, and the predicate of its refusal."""

    level: Level
    name: str
    description: str
    sentence: str = NOT_YET


UNSUPPORTED = (
    Unsupported("spec", "transformer", "Steps before and after the predictor."),
    Unsupported("spec", "explainer", "Explanations."),
    Unsupported("spec", "canary", "Further predictors, each with a part of the traffic."),
    Unsupported("predictor", "tensorflow", "TensorFlow Serving."),
    Unsupported("predictor", "pytorch", "PyTorch server."),
    Unsupported("predictor", "onnx", "ONNX Runtime server."),
    Unsupported("predictor", "huggingface", "Hugging Face server."),
    Unsupported("predictor", "pmml", "PMML server."),
    Unsupported("predictor", "paddle", "Paddle server."),
    Unsupported("predictor", "overcommit", "Percent of a shard's memory that its models may declare."),
    Unsupported("predictor", "name", "Name of the predictor in the names of its children."),
    Unsupported("predictor", "canaryTrafficPercent", "Traffic for the newest revision."),
    Unsupported("predictor", "containerConcurrency", "Requests at once a replica."),
    Unsupported("predictor", "timeout", "Seconds for a request."),
    Unsupported("predictor", "batcher", "Batching of requests."),
    Unsupported("predictor", "logger", "Logging of requests."),
    Unsupported("predictor", "scaleMetricType", "Whether scaleTarget is a utilization or an average value."),
    Unsupported("predictor", "autoScaling", "Metrics and behaviour of the autoscaler."),
    Unsupported("predictor", "workerSpec", "Further pods of a server that runs on several nodes."),
    Unsupported("predictor", "storageUris", "Several models of the predictor's own."),
    Unsupported("predictor", "storageContainerName", "Container that downloads the predictor's own model."),
    Unsupported("predictor", "parallelism", "Requests at once a replica, in the API before v1beta1."),
    Unsupported(
        "predictor",
        "activeDeadlineSeconds",
        "Seconds after which a pod is ended.",
        "is not supported: Kubernetes does not allow it for the pods of a Deployment",
    ),
    Unsupported(
        "predictor",
        "ephemeralContainers",
        "Containers for debugging.",
        "is not supported: Kubernetes adds them to a running pod only, as kubectl debug does",
    ),
    Unsupported("predictor", "hostUsers", "Use of the node's user namespace."),
    Unsupported("predictor", "hostnameOverride", "Host name of the pods, whole."),
    Unsupported(
        "predictor",
        "nodeName",
        "Node on which the pods run.",
        "is not supported: a pod that does not fit there is created again without end; use nodeSelector or affinity",
    ),
    Unsupported("predictor", "os", "Operating system of the pods."),
    Unsupported(
        "predictor",
        "overhead",
        "Resources that a pod takes besides its containers'.",
        "is not supported: Kubernetes takes it from the class; use runtimeClassName",
    ),
    Unsupported(
        "predictor",
        "preemptionPolicy",
        "Whether the pods may displace others.",
        "is not supported: Kubernetes takes it from the class; use priorityClassName",
    ),
    Unsupported(
        "predictor",
        "priority",
        "Priority as a number.",
        "is not supported: Kubernetes takes it from the class; use priorityClassName",
    ),
    Unsupported("predictor", "resourceClaims", "Resource claims of the pods."),
    Unsupported(
        "predictor",
        "resources",
        "Requests and limits of a whole pod.",
        "is not supported: it would be for the whole pod; use the resources of the container",
    ),
    Unsupported("predictor", "schedulingGates", "Gates that keep the pods from being scheduled."),
    Unsupported("server", "storage", "A model of the predictor's own, by a key of the storage secret."),
    Unsupported("server", "confidential", "Decryption of the predictor's own model."),
    Unsupported("server", "resizePolicy", "How the container takes other resources."),
    Unsupported("server", "restartPolicy", "When the container is started again."),
    Unsupported("server", "restartPolicyRules", "When the container is started again, by exit code."),
    Unsupported("server", "terminationMessagePath", "File with the container's last message."),
    Unsupported("server", "terminationMessagePolicy", "Where the container's last message comes from."),
)


def named(level: Level) -> tuple[str, ...]:
    """Return the names of the fields of one level."""
    return tuple(each.name for each in UNSUPPORTED if each.level == level)


def properties(level: Level) -> dict[str, Any]:
    """Return the JSON schema properties of the fields of one level: each may have any type."""
    return {
        each.name: {
            "description": f"{each.description} {_phrase(each)}: refused on a multi-model host.",
            "nullable": True,
            "x-kubernetes-preserve-unknown-fields": True,
        }
        for each in UNSUPPORTED
        if each.level == level
    }


def _phrase(field: Unsupported) -> str:
    return "Not supported yet" if field.sentence == NOT_YET else "Not supported"
