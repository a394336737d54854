"""Rules for storage URIs: the format of each scheme, and the sources that the configuration allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.storageuri import claim_of
from manyserve.plan.rules.source import HTTP_SENTENCE, source_error
from manyserve.plan.rules.validation import model_problems
from tests.support import uris
from tests.support.make import model_object

NOTHING = HttpsCredentials()


def sentences(uri: Any) -> list[str]:
    return [str(each) for each in model_problems(model_object(uri=uri), NOTHING)]


@pytest.mark.parametrize("uri", uris.GOOD)
def test_source_rules_accept_each_scheme(uri: str) -> None:
    assert sentences(uri) == []


@pytest.mark.parametrize(("uri", "sentence"), uris.MALFORMED.values(), ids=uris.MALFORMED)
def test_input_07_source_rules_refuse_malformed_uri(uri: str, sentence: str) -> None:
    (problem,) = sentences(uri)
    assert problem.startswith("spec.model.storageUri: ")
    assert f"; it {sentence}" in problem
    assert "pw" not in problem, "parts that may be a secret are never echoed"


def test_input_07_source_rules_refuse_uri_of_64_kib_by_length_only() -> None:
    (problem,) = sentences(uris.TOO_LONG)
    assert problem == (
        "spec.model.storageUri: a text of 65548 characters is not allowed; it must have at most 2048 characters"
    )


def test_input_07_source_rules_refuse_uri_that_is_not_a_string() -> None:
    assert sentences(7) == ["spec.model.storageUri: 7 is not allowed; it must be a valid string"]


@pytest.mark.parametrize("uri", ["me:pw@bucket/x", "ftp://me:pw@bucket/x", "pw@gs://bucket/x"])
def test_input_07_source_rules_never_echo_a_secret_before_the_bucket(uri: str) -> None:
    assert sentences(uri)
    assert all("pw" not in each for each in sentences(uri))


@pytest.mark.parametrize(("uri", "sentence"), uris.NOT_PUBLIC.items())
def test_input_08_source_rules_refuse_address_that_is_not_public(uri: str, sentence: str) -> None:
    (problem,) = sentences(uri)
    assert sentence in problem


@pytest.mark.parametrize(
    ("uri", "network"),
    [
        ("https://10.1.2.3/m", "10.0.0.0/8"),
        ("https://[::ffff:10.1.2.3]/m", "10.0.0.0/8"),
        ("https://localhost/m", "127.0.0.0/8"),
        ("https://[fd00::1]/m", "fd00::/8"),
        ("https://minio.storage.svc.cluster.local/m", "10.0.0.0/8"),
    ],
)
def test_source_rules_accept_allowed_network(uri: str, network: str) -> None:
    assert source_error(uri, HttpsCredentials.from_wire({"allowedNetworks": [network]})) is None


def test_source_rules_refuse_address_outside_allowed_networks() -> None:
    allowed = HttpsCredentials.from_wire({"allowedNetworks": ["10.0.0.0/8"]})
    for uri in ("https://169.254.169.254/m", "https://localhost/m", "https://0x7f.1/m"):
        assert source_error(uri, allowed)


def test_source_rules_refuse_http_unless_allowed() -> None:
    assert sentences("http://example.com/m.tar") == [f"spec.model.storageUri: {HTTP_SENTENCE}"]
    assert source_error("http://example.com/m.tar", HttpsCredentials.from_wire({"allowHttp": True})) is None
    assert source_error("http://10.0.0.1/m.tar", HttpsCredentials.from_wire({"allowHttp": True}))


def test_claim_of_returns_first_part_of_pvc_uri() -> None:
    assert claim_of("pvc://claim.of-mine/a/b") == "claim.of-mine"
    assert claim_of("pvc://claim") == "claim"
    assert claim_of("gs://claim/a") is None


@given(
    st.text() | st.sampled_from(["https://", "http://", "pvc://", "hf://"]).flatmap(lambda s: st.text().map(s.__add__))
)
def test_source_rules_never_raise_for_any_text(uri: str) -> None:
    assert all(each.isprintable() for each in sentences(uri))
    source_error(uri, NOTHING)
