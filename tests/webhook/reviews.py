"""Builders for the webhook's tests: reviews, and caches with hosts and models."""

from __future__ import annotations

from typing import Any

from manyserve.webhook.cache import Cache
from manyserve.webhook.reservations import Reservations
from manyserve.webhook.review import Outcome, review
from tests.support.clock import FakeClock
from tests.support.make import Manifest, config


def cache_of(*objects: Manifest, clock: FakeClock | None = None, **configuration: Any) -> Cache:
    """Return a cache that contains these objects."""
    cache = Cache(Reservations(clock or FakeClock()), config(**configuration))
    for manifest in objects:
        changed(cache, manifest)
    return cache


def changed(cache: Cache, new: Manifest | None, old: Manifest | None = None) -> None:
    """Call the cache as an informer does."""
    kind = (new or old or {})["kind"]
    (cache.host_changed if kind == "InferenceService" else cache.model_changed)(old, new)


def review_of(new: Any, old: Any = None, *, uid: str = "review-1", **fields: Any) -> Manifest:
    """Return the review of a CREATE, or of an UPDATE when there is an old object."""
    kind = new["kind"]
    version = "v1beta1" if kind == "InferenceService" else "v1alpha1"
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "serving.kserve.io", "version": version, "kind": kind},
            "operation": "CREATE" if old is None else "UPDATE",
            "namespace": "default",
            "name": new["metadata"]["name"],
            "object": new,
            "oldObject": old,
            "dryRun": False,
        }
        | fields,
    }


def ask(cache: Cache, new: Manifest, old: Manifest | None = None, **fields: Any) -> Outcome:
    """Review an object, and make the reservation as the handler does."""
    outcome = review(review_of(new, old, **fields), cache.view())
    if outcome.reserve is not None:
        cache.reservations.reserve(outcome.object_uid, outcome.reserve)
    return outcome


def message(outcome: Outcome) -> str:
    """Return the message of a refusal."""
    return str(outcome.response["response"]["status"]["message"])


def warnings(outcome: Outcome) -> list[str]:
    """Return the warnings of a response."""
    return list(outcome.response["response"].get("warnings", []))


def waiting(model: Manifest) -> Manifest:
    """Return the model with the condition that it does not fit."""
    condition = {"type": "MemoryResourceAvailable", "status": "False"}
    return model | {"status": {"conditions": [condition]}}


def being_deleted(manifest: Manifest) -> Manifest:
    """Return the object with a deletionTimestamp."""
    return manifest | {"metadata": manifest["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
