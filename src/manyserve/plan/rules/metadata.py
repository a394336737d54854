"""Rules for the labels and annotations of a host, and for those of its predictor.

The API server checks the form of the host's own. It sees those of the predictor as any text, and would refuse the
Deployment later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import VOLUME_SIZE_LIMITS
from manyserve.api.servingconfig import storage_size
from manyserve.plan.host_metadata import child_annotations
from manyserve.plan.rules.fields import SHOWN_LIMIT, FieldError, quoted
from manyserve.plan.visibility import CLUSTER_LOCAL, EXPOSED, VISIBILITY_LABELS

ANNOTATIONS_LIMIT = 240 * 1024
"""Bytes of a host's annotations for its children: the limit of Kubernetes, less 16 KiB for those of controllers."""
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_KEY = re.compile(rf"(?:(?P<domain>{_DOMAIN})/)?{_NAME}")
_VALUE = re.compile(rf"({_NAME})?")
_DOMAIN_LIMIT = 253
_KEY_LIMIT = _DOMAIN_LIMIT + 1 + 63
_FORM = "at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or a digit"
KEY_SENTENCE = f"must have {_FORM}, with an optional domain and '/' before"
VALUE_SENTENCE = f"must have {_FORM}, or be empty"


def visibility_is_known(host: InferenceService) -> Iterator[FieldError]:
    """Require a known visibility: a misspelt one would give the host an address outside the cluster."""
    places = {"metadata.labels": host.metadata.labels, "spec.predictor.labels": host.spec.predictor.labels or {}}
    for (path, labels), label in product(places.items(), VISIBILITY_LABELS):
        value = labels.get(label, EXPOSED)
        if value not in (CLUSTER_LOCAL, EXPOSED):
            sentence = f"{quoted(value)} is not allowed; it must be {CLUSTER_LOCAL} or {EXPOSED}, or be left out"
            yield FieldError(f"{path}[{label}]", sentence)


def volume_size_limit_is_a_size(host: InferenceService) -> Iterator[FieldError]:
    """Require of the limit of the volume with models a quantity that is not too small."""
    own = host.spec.predictor.annotations or {}
    places = {"metadata.annotations": host.metadata.annotations, "spec.predictor.annotations": own}
    for (path, values), name in product(places.items(), VOLUME_SIZE_LIMITS):
        try:
            storage_size(values.get(name))
        except ValueError as error:
            yield FieldError(f"{path}[{name}]", str(error))


def predictor_metadata_is_well_formed(host: InferenceService) -> Iterator[FieldError]:
    """Require keys and values of the predictor's labels and annotations that Kubernetes accepts."""
    predictor = host.spec.predictor
    for field, values in (("labels", predictor.labels), ("annotations", predictor.annotations)):
        for key, value in (values or {}).items():
            if not _is_key(key if field == "labels" else key.lower()):
                yield FieldError(f"spec.predictor.{field}", f"{quoted(key)} is not a key; it {KEY_SENTENCE}")
            elif field == "labels" and not _VALUE.fullmatch(value):
                path = f"spec.predictor.labels[{key[:SHOWN_LIMIT]}]"
                yield FieldError(path, f"{quoted(value)} is not allowed; it {VALUE_SENTENCE}")


def annotations_fit_children(host: InferenceService) -> Iterator[FieldError]:
    """Require annotations that fit on a child beside those of the operator and of other controllers."""
    size = sum(len(text.encode("utf-8", "surrogatepass")) for pair in child_annotations(host).items() for text in pair)
    if size > ANNOTATIONS_LIMIT:
        sentence = f"the pods and children get {size} bytes; it must be at most {ANNOTATIONS_LIMIT} bytes"
        yield FieldError("metadata.annotations", sentence)


def _is_key(text: str) -> bool:
    match = _KEY.fullmatch(text) if len(text) <= _KEY_LIMIT else None
    return match is not None and len(match["domain"] or "") <= _DOMAIN_LIMIT


RULES: tuple[Callable[[InferenceService], Iterator[FieldError]], ...] = (
    visibility_is_known,
    volume_size_limit_is_a_size,
    predictor_metadata_is_well_formed,
    annotations_fit_children,
)
