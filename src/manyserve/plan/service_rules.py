"""The rules for one InferenceService, whatever models it has.

Each takes the host and yields what is wrong. The CRD holds many of them as CEL too; the sentences are the
same, so that a user reads the same whichever of the two answers. `RULES` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from manyserve.api.inferenceservice import NAME_LIMIT, PREDICTORS, UNSUPPORTED, InferenceService
from manyserve.plan import server_rules
from manyserve.plan.problem import Problem, shown

Rule = Callable[[InferenceService], Iterator[Problem]]

NAME_SENTENCE = (
    "metadata.name must be a DNS label that starts with a letter, of at most "
    f"{NAME_LIMIT} characters, so that the names of its children fit into 63"
)
STORAGE_SENTENCE = "storageUri is not supported on a multi-model host; place models with TrainedModels"
REPLICAS_SENTENCE = "maxReplicas must not be below minReplicas (which is 1 when unset)"

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PREDICTOR_FIELDS = {name: "".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in UNSUPPORTED}


def name_leaves_room_for_children(service: InferenceService) -> Iterator[Problem]:
    """Require a name from which those of the Deployment, the pods and the Service can be made."""
    name = service.metadata.name
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        yield Problem("metadata.name", f"{shown(name)} is not allowed; {NAME_SENTENCE}")


def one_predictor_is_given(service: InferenceService) -> Iterator[Problem]:
    """Require exactly one model server."""
    given = [name for name in PREDICTORS if getattr(service.spec.predictor, name) is not None]
    if len(given) != 1:
        found = f"{len(given)} are given: {', '.join(given)}" if given else "none is given"
        yield Problem(
            "spec.predictor", f"{found}; exactly one predictor must be given, one of: {', '.join(PREDICTORS)}"
        )


def nothing_unsupported_is_asked_for(service: InferenceService) -> Iterator[Problem]:
    """Refuse each field that is not done yet: none is accepted and ignored."""
    for name in ("transformer", "explainer"):
        if getattr(service.spec, name) is not None:
            yield Problem(f"spec.{name}", f"spec.{name} is not supported yet")
    for name, attribute in _PREDICTOR_FIELDS.items():
        if getattr(service.spec.predictor, attribute) is not None:
            yield Problem(f"spec.predictor.{name}", f"{name} is not supported yet")


def models_come_as_objects_of_their_own(service: InferenceService) -> Iterator[Problem]:
    """Refuse a storageUri of the host's own."""
    server = service.spec.predictor.framework_server
    if server and server.storage_uri is not None:
        yield Problem(f"spec.predictor.{service.spec.predictor.name}.storageUri", STORAGE_SENTENCE)


def replicas_are_a_range(service: InferenceService) -> Iterator[Problem]:
    """Require that the most replicas are not fewer than the fewest."""
    fewest = service.spec.predictor.min_replicas or 1
    most = service.spec.predictor.max_replicas
    if most is not None and most < fewest:
        found = f"maxReplicas is {most}, minReplicas {fewest}"
        yield Problem("spec.predictor.maxReplicas", f"{found}; {REPLICAS_SENTENCE}")


def own_server_takes_several_models(service: InferenceService) -> Iterator[Problem]:
    """Require of a user's own server its image, and the word that it takes several models."""
    for index, each in enumerate(service.spec.predictor.containers or ()):
        path = f"spec.predictor.containers[{index}]"
        if not each.image:
            yield Problem(f"{path}.image", "is missing; a server of your own must name its image")
        if not any(env.name == "MULTI_MODEL_SERVER" and env.value == "true" for env in each.env or ()):
            yield Problem(f"{path}.env", "must have MULTI_MODEL_SERVER=true: only such a server takes TrainedModels")


RULES: tuple[Rule, ...] = (
    name_leaves_room_for_children,
    one_predictor_is_given,
    nothing_unsupported_is_asked_for,
    models_come_as_objects_of_their_own,
    replicas_are_a_range,
    own_server_takes_several_models,
    *server_rules.RULES,
)
