"""The rules for one TrainedModel, whatever its host.

Each takes the model and yields what is wrong. The CRD holds most of them as CEL too; the sentences are the
same constants, so that a user reads the same whichever of the two answers. `RULES` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from manyserve.api.quantity import parse_memory
from manyserve.api.trainedmodel import (
    FRAMEWORK_SENTENCE,
    LATER_SCHEMES,
    MODEL_NAME_SENTENCE,
    NAME_LIMIT,
    NAME_SENTENCE,
    SCHEME_SENTENCE,
    SCHEMES,
    URI_SENTENCE,
    TrainedModel,
)
from manyserve.plan.problem import Problem, shown, shown_uri

Rule = Callable[[TrainedModel], Iterator[Problem]]

BUCKET_SENTENCE = "it must be 3 to 222 small letters, digits, '-', '_' and '.', with a letter or digit at both ends"

_MODEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_HOST_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_FRAMEWORK = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")
# the host may not have ':' or '@', so neither a password nor a port
_URI = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<bucket>[^\s/?#@:]+)(/[^\s?#]*)?", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]")


def name_fits_into_a_url(model: TrainedModel) -> Iterator[Problem]:
    """Require a name that can stand in a URL: it is the model's name on the server."""
    if len(model.metadata.name) > NAME_LIMIT or not _MODEL_NAME.fullmatch(model.metadata.name):
        yield Problem("metadata.name", f"{shown(model.metadata.name)} is not allowed; {MODEL_NAME_SENTENCE}")


def host_is_a_name(model: TrainedModel) -> Iterator[Problem]:
    """Require the name of a host, in the model's own namespace, whether it exists yet or not."""
    host = model.spec.inference_service
    if not _HOST_NAME.fullmatch(host):
        yield Problem("spec.inferenceService", f"{shown(host)} is not the name of an InferenceService; {NAME_SENTENCE}")


def framework_is_a_word(model: TrainedModel) -> Iterator[Problem]:
    """Require one word; whether the host's server supports it is asked of the host."""
    framework = model.spec.model.framework
    if not _FRAMEWORK.fullmatch(framework):
        yield Problem("spec.model.framework", f"{shown(framework)} is not a framework; it {FRAMEWORK_SENTENCE}")


def memory_is_a_positive_quantity(model: TrainedModel) -> Iterator[Problem]:
    """Require a whole number of bytes above 0, since sums of it decide."""
    try:
        parse_memory(model.spec.model.memory)
    except ValueError as error:
        yield Problem("spec.model.memory", str(error))


def scheme_can_be_downloaded(model: TrainedModel) -> Iterator[Problem]:
    """Require a scheme that agents can download; those that are planned are named as such."""
    uri = model.spec.model.storage_uri
    scheme, separator, _ = uri.partition("://")
    if separator and scheme in SCHEMES:
        return
    if separator and scheme in LATER_SCHEMES:
        found = f"the scheme {scheme}:// is not supported yet"
    elif separator:
        found = f"{shown_uri(uri)} has an unknown scheme"
    else:
        found = f"{shown_uri(uri)} has no scheme"
    yield Problem("spec.model.storageUri", f"{found}; it {SCHEME_SENTENCE}")


def uri_is_plain(model: TrainedModel) -> Iterator[Problem]:
    """Require a bucket and a path, and nothing that could be a secret or lead elsewhere."""
    uri = model.spec.model.storage_uri
    if "://" in uri and (not _URI.fullmatch(uri) or ".." in uri or not uri.isprintable()):
        yield Problem("spec.model.storageUri", f"{shown_uri(uri)} is not a plain URI; it {URI_SENTENCE}")


def bucket_can_exist(model: TrainedModel) -> Iterator[Problem]:
    """Require a bucket name that the object store could have given."""
    found = _URI.fullmatch(model.spec.model.storage_uri)
    if found and found["scheme"] in SCHEMES and not _BUCKET.fullmatch(found["bucket"]):
        yield Problem("spec.model.storageUri", f"{shown(found['bucket'])} is not a bucket's name; {BUCKET_SENTENCE}")


RULES: tuple[Rule, ...] = (
    name_fits_into_a_url,
    host_is_a_name,
    framework_is_a_word,
    memory_is_a_positive_quantity,
    scheme_can_be_downloaded,
    uri_is_plain,
    bucket_can_exist,
)
