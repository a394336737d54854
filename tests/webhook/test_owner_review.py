"""Reviews of owner references: a new reference to an absent InferenceService is refused, with the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.webhook.model_review import COMMAND
from tests.support.make import host_object, model_object
from tests.webhook.reviews import ask, cache_of, message

HOST = host_object()


def owned(uid: str, **fields: Any) -> dict[str, Any]:
    """Return a model that an InferenceService owns."""
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "triton-mms", "uid": uid}
    model = model_object()
    return model | {"metadata": model["metadata"] | {"ownerReferences": [owner | fields]}}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("hosts", [[], [HOST]], ids=["no host", "another host"])
def test_owner_review_refuses_absent_owner_and_names_command(hosts: list[dict[str, Any]], dry_run: bool) -> None:
    assert message(ask(cache_of(*hosts), owned("uid-old"), dryRun=dry_run)) == (
        "metadata.ownerReferences[0]: InferenceService 'triton-mms' with uid 'uid-old' does not exist, and Kubernetes "
        "deletes an object that has an owner which does not exist. A model needs no owner. If it comes from a backup, "
        f"restore it without owner references: {COMMAND}"
    )


def test_owner_review_refuses_owner_of_other_group() -> None:
    other = owned("uid-triton-mms", apiVersion="serving.manyserve.io/v1beta1")
    assert "does not exist" in message(ask(cache_of(HOST), other))


@pytest.mark.parametrize(
    "model",
    [
        owned("uid-triton-mms"),
        owned("x", kind="ConfigMap", apiVersion="v1"),
        owned("x", apiVersion="example.com/v1"),
    ],
)
def test_owner_review_allows_existing_host_and_other_kinds(model: dict[str, Any]) -> None:
    assert ask(cache_of(HOST), model).allowed


@pytest.mark.parametrize("odd", [None, {}, [7], "x", [{"kind": "InferenceService"}]])
def test_owner_review_ignores_malformed_owner_references(odd: Any) -> None:
    model = model_object()
    outcome = ask(cache_of(HOST), model | {"metadata": model["metadata"] | {"ownerReferences": odd}})
    assert outcome.allowed or "does not exist" not in message(outcome)


def test_owner_review_allows_update_of_model_with_old_owner() -> None:
    old = owned("uid-old")
    model = old["spec"]["model"] | {"storageUri": "gs://bucket/new"}
    assert ask(cache_of(HOST), old | {"spec": old["spec"] | {"model": model}}, old).allowed


def test_owner_review_refuses_absent_owner_in_update() -> None:
    refusal = message(ask(cache_of(HOST), owned("uid-old"), model_object()))
    assert "with uid 'uid-old' does not exist" in refusal
    assert ask(cache_of(HOST), owned("uid-triton-mms"), model_object()).allowed
    assert ask(cache_of(HOST), model_object(), owned("uid-old")).allowed


@pytest.mark.parametrize(
    "spec", [{"predictor": 7}, {"predictor": {"huggingface": {}}}], ids=["unreadable", "unmanaged"]
)
def test_owner_review_compares_uid_of_unmanaged_and_unreadable_owner(spec: dict[str, Any]) -> None:
    cache = cache_of()
    cache.host_changed(None, HOST | {"spec": spec})
    assert ask(cache, owned("uid-triton-mms")).allowed
    assert "does not exist" in message(ask(cache, owned("uid-old")))
    cache.host_changed(HOST, None)
    assert "does not exist" in message(ask(cache, owned("uid-triton-mms")))
