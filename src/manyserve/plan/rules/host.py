"""Rules for one InferenceService, whatever models it has.

Each takes the host and yields its problems. The webhook runs them at `kubectl apply`, and the operator again for stored
objects. `RULES` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from manyserve.api.inferenceservice import FRAMEWORKS, NAME_LIMIT, PREDICTORS, PROTOCOLS, InferenceService
from manyserve.plan.capacity import given_predictors
from manyserve.plan.management import MULTI_MODEL_ENV
from manyserve.plan.rules import server as server_rules
from manyserve.plan.rules.field_error import FieldError, quoted
from manyserve.plan.rules.fields import every_field_of_a_host_is_known
from manyserve.plan.rules.sizes import numbers_and_sizes_fit

Rule = Callable[[InferenceService], Iterator[FieldError]]

NAME_SENTENCE = (
    "metadata.name must be a DNS label that starts with a letter, of at most "
    f"{NAME_LIMIT} characters, so that the names of its children fit into 63"
)
REPLICAS_SENTENCE = "maxReplicas must not be below minReplicas (which is 1 when unset)"

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SCALE_METRICS = ("cpu", "memory")


def name_leaves_room_for_children(host: InferenceService) -> Iterator[FieldError]:
    """Require a name from which those of the Deployment, the pods and the Service can be made."""
    name = host.metadata.name
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        yield FieldError("metadata.name", f"{quoted(name)} is not allowed; {NAME_SENTENCE}")


def one_predictor_is_given(host: InferenceService) -> Iterator[FieldError]:
    """Require exactly one model server."""
    given = given_predictors(host)
    if len(given) != 1:
        found = f"{len(given)} are given: {', '.join(given)}" if given else "none is given"
        yield FieldError(
            "spec.predictor", f"{found}; exactly one predictor must be given, one of: {', '.join(PREDICTORS)}"
        )


def a_framework_names_its_server(host: InferenceService) -> Iterator[FieldError]:
    """Require of the form `model` a framework for which there is a model server."""
    model = host.spec.predictor.model
    if model is not None and model.model_format.name not in FRAMEWORKS:
        sentence = f"{quoted(model.model_format.name)} has no model server; it must be one of: {', '.join(FRAMEWORKS)}"
        yield FieldError("spec.predictor.model.modelFormat.name", sentence)


def the_server_speaks_the_protocol(host: InferenceService) -> Iterator[FieldError]:
    """Require a protocol that the server speaks."""
    predictor = host.spec.predictor
    found = predictor.framework_server.protocol_version if predictor.framework_server else None
    allowed = PROTOCOLS.get(predictor.name, ())
    if found is not None and found not in allowed:
        where = f"spec.predictor.{predictor.field}.protocolVersion"
        yield FieldError(where, f"{quoted(found)} is not supported; it must be {' or '.join(allowed)}")


def replicas_scale_by_what_is_measured(host: InferenceService) -> Iterator[FieldError]:
    """Require a metric that an autoscaler of Kubernetes has by itself."""
    found = host.spec.predictor.scale_metric
    if found is not None and found not in _SCALE_METRICS:
        sentence = f"{quoted(found)} is not supported; it must be {' or '.join(_SCALE_METRICS)}"
        yield FieldError("spec.predictor.scaleMetric", sentence)


def replicas_are_a_range(host: InferenceService) -> Iterator[FieldError]:
    """Require that the most replicas are not fewer than the fewest."""
    fewest = host.spec.predictor.min_replicas or 1
    most = host.spec.predictor.max_replicas
    if most is not None and most < fewest:
        found = f"maxReplicas is {most}, minReplicas {fewest}"
        yield FieldError("spec.predictor.maxReplicas", f"{found}; {REPLICAS_SENTENCE}")


def own_server_takes_several_models(host: InferenceService) -> Iterator[FieldError]:
    """Require one container of a custom server, with its image and the variable that says it takes several models."""
    predictor = host.spec.predictor
    containers = (predictor.containers or ()) if predictor.is_custom else ()
    if len(containers) > 1:
        yield FieldError("spec.predictor.containers", f"{len(containers)} are given; it must be one, the model server")
    for index, container in enumerate(containers[:1]):
        path = f"spec.predictor.containers[{index}]"
        if not container.image:
            yield FieldError(f"{path}.image", "is missing; a server of your own must name its image")
        if not any(env.name == MULTI_MODEL_ENV and env.value == "true" for env in container.env or ()):
            yield FieldError(f"{path}.env", f"must have {MULTI_MODEL_ENV}=true: only such a server takes TrainedModels")


RULES: tuple[Rule, ...] = (
    name_leaves_room_for_children,
    one_predictor_is_given,
    every_field_of_a_host_is_known,
    a_framework_names_its_server,
    the_server_speaks_the_protocol,
    replicas_scale_by_what_is_measured,
    replicas_are_a_range,
    own_server_takes_several_models,
    numbers_and_sizes_fit,
    *server_rules.RULES,
)
