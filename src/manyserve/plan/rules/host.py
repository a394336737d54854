"""Rules for one InferenceService, independent of its models.

A rule takes the host and yields errors. The webhook runs `RULES` at `kubectl apply`, and the operator runs them again
for stored objects. `RULES` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

from manyserve.api.inferenceservice import (
    AUTOSCALERS,
    EXTERNAL,
    FRAMEWORKS,
    HPA,
    NAME_LIMIT,
    NONE,
    PREDICTORS,
    PROTOCOLS,
    InferenceService,
)
from manyserve.api.names import AUTOSCALER_CLASSES
from manyserve.plan.capacity import given_predictors
from manyserve.plan.management import MULTI_MODEL_ENV
from manyserve.plan.rules import allocation as allocation_rules
from manyserve.plan.rules import arguments as argument_rules
from manyserve.plan.rules import metadata as metadata_rules
from manyserve.plan.rules import server as server_rules
from manyserve.plan.rules.fields import FieldError, host_fields_are_known, quoted
from manyserve.plan.rules.pod import rules as pod_rules
from manyserve.plan.rules.sizes import numbers_and_sizes_fit
from manyserve.plan.rules.strategy import strategy_is_accepted_by_kubernetes

Rule = Callable[[InferenceService], Iterator[FieldError]]

NAME_SENTENCE = (
    "metadata.name must be a DNS label that starts with a letter, of at most "
    f"{NAME_LIMIT} characters, so that the names of its children fit into 63"
)

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def name_fits_children(host: InferenceService) -> Iterator[FieldError]:
    """Require a name short enough for the names of Deployment, pods and Service that are made from it."""
    name = host.metadata.name
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        yield FieldError("metadata.name", f"{quoted(name)} is not allowed; {NAME_SENTENCE}")


def one_predictor_is_given(host: InferenceService) -> Iterator[FieldError]:
    """Require exactly one model server."""
    given = given_predictors(host)
    if len(given) != 1:
        clause = f"{len(given)} are given: {', '.join(given)}" if given else "none is given"
        yield FieldError(
            "spec.predictor", f"{clause}; exactly one predictor must be given, one of: {', '.join(PREDICTORS)}"
        )


def model_format_has_a_server(host: InferenceService) -> Iterator[FieldError]:
    """Require of `spec.predictor.model` a format with a model server."""
    model = host.spec.predictor.model
    if model is not None and model.model_format.name not in FRAMEWORKS:
        sentence = f"{quoted(model.model_format.name)} has no model server; it must be one of: {', '.join(FRAMEWORKS)}"
        yield FieldError("spec.predictor.model.modelFormat.name", sentence)


def protocol_is_supported(host: InferenceService) -> Iterator[FieldError]:
    """Require a protocol that the server supports."""
    predictor = host.spec.predictor
    protocol = predictor.framework_server.protocol_version if predictor.framework_server else None
    allowed = PROTOCOLS.get(predictor.name, ())
    if protocol is not None and protocol not in allowed:
        path = f"spec.predictor.{predictor.field}.protocolVersion"
        yield FieldError(path, f"{quoted(protocol)} is not supported; it must be {' or '.join(allowed)}")


def autoscaler_class_is_known(host: InferenceService) -> Iterator[FieldError]:
    """Require a known owner of the replicas."""
    own = host.spec.predictor.annotations or {}
    places = {"metadata.annotations": host.metadata.annotations, "spec.predictor.annotations": own}
    for (path, values), name in product(places.items(), AUTOSCALER_CLASSES):
        value = values.get(name, HPA)
        if value not in AUTOSCALERS:
            sentence = (
                f"{quoted(value)} is not supported; it must be {HPA} (the default), {EXTERNAL} for an autoscaler of "
                f"your own such as KEDA's, or {NONE}"
            )
            yield FieldError(f"{path}[{name}]", sentence)


def replicas_are_a_range(host: InferenceService) -> Iterator[FieldError]:
    """Require that `maxReplicas` is not below `minReplicas`."""
    fewest = host.spec.predictor.min_replicas or 1
    most = host.spec.predictor.max_replicas
    if most is not None and most < fewest:
        clause = f"maxReplicas is {most}, minReplicas {fewest}"
        yield FieldError("spec.predictor.maxReplicas", f"{clause}; {allocation_rules.REPLICAS_SENTENCE}")


def custom_server_is_multi_model(host: InferenceService) -> Iterator[FieldError]:
    """Require one container of a custom server, with an image and the variable for multi-model serving."""
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
    name_fits_children,
    one_predictor_is_given,
    host_fields_are_known,
    model_format_has_a_server,
    protocol_is_supported,
    *allocation_rules.HOST_RULES,
    replicas_are_a_range,
    autoscaler_class_is_known,
    custom_server_is_multi_model,
    numbers_and_sizes_fit,
    strategy_is_accepted_by_kubernetes,
    *metadata_rules.RULES,
    *server_rules.RULES,
    *argument_rules.RULES,
    *pod_rules.RULES,
)
