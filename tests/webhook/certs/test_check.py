"""Checks of certificates: good ones stay, expiring and broken ones are replaced, old and new ones are trusted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from manyserve.webhook.certs.check import (
    Issued,
    authority_problem,
    ensure,
    expiry,
    leaf_problem,
    pair_problem,
)
from manyserve.webhook.certs.issue import CA_LIFE, CLOCK_SKEW, LEAF_LIFE, KeyPair, issue_authority, issue_leaf
from manyserve.webhook.certs.objects import read, write

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("webhook.system.svc", "webhook.system.svc.cluster.local")
DAY = timedelta(days=1)


def trusted(leaf: KeyPair, bundle: bytes, name: str, now: datetime) -> bool:
    """Return whether a client with this bundle would trust the leaf, by the library's verifier."""
    store = Store(x509.load_pem_x509_certificates(bundle))
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(leaf.certificate), [])
    except x509.verification.VerificationError:
        return False
    return True


@pytest.fixture(scope="module")
def issued() -> Issued:
    return ensure(None, NAMES, NOW)


def test_ensure_issues_leaf_that_is_trusted_for_its_names_only(issued: Issued) -> None:
    for name in NAMES:
        assert trusted(issued.leaf, issued.bundle, name, NOW)
    assert not trusted(issued.leaf, issued.bundle, "other.system.svc", NOW)


def test_ensure_keeps_good_certificates(issued: Issued) -> None:
    assert ensure(issued, NAMES, NOW + 19 * DAY) is issued


def test_leaf_is_trusted_by_clock_behind(issued: Issued) -> None:
    assert trusted(issued.leaf, issued.bundle, NAMES[0], NOW - timedelta(minutes=50))


def test_ensure_renews_leaf_after_two_thirds_of_its_lifetime(issued: Issued) -> None:
    later = NOW + 20 * DAY
    renewed = ensure(issued, NAMES, later)
    assert renewed.leaf != issued.leaf
    assert (renewed.authority, renewed.bundle) == (issued.authority, issued.bundle)
    assert expiry(renewed.leaf) == later + LEAF_LIFE


def test_ensure_renews_leaf_for_other_names(issued: Issued) -> None:
    assert trusted(ensure(issued, ("other.svc",), NOW).leaf, issued.bundle, "other.svc", NOW)


def test_bundle_trusts_old_and_renewed_authority(issued: Issued) -> None:
    later = NOW + CA_LIFE * 2 / 3 + DAY
    renewed = ensure(issued, NAMES, later)
    assert renewed.authority != issued.authority
    old_leaf = issue_leaf(issued.authority, NAMES, later)
    assert trusted(old_leaf, renewed.bundle, NAMES[0], later)
    assert trusted(renewed.leaf, renewed.bundle, NAMES[0], later)


def test_bundle_drops_expired_authority(issued: Issued) -> None:
    renewed = ensure(issued, NAMES, NOW + CA_LIFE + DAY)
    assert len(x509.load_pem_x509_certificates(renewed.bundle)) == 1


OTHER = issue_authority(NOW)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"authority": KeyPair(b"", b"")}, "it cannot be read"),
        ({"bundle": b"junk"}, "it cannot be read"),
        ({"bundle": OTHER.certificate}, "it is not in its own bundle"),
    ],
)
def test_ensure_replaces_broken_authority(issued: Issued, wrong: dict[str, KeyPair | bytes], problem: str) -> None:
    broken = replace(issued, **wrong)  # type: ignore[arg-type]
    assert str(authority_problem(broken, NOW)).startswith(problem)
    renewed = ensure(broken, NAMES, NOW)
    assert trusted(renewed.leaf, renewed.bundle, NAMES[0], NOW)


def test_authority_problem_names_wrong_key(issued: Issued) -> None:
    broken = replace(issued, authority=KeyPair(issued.authority.certificate, OTHER.key))
    assert authority_problem(broken, NOW) == "its key does not match"


def test_ensure_replaces_broken_leaf(issued: Issued) -> None:
    foreign = issue_leaf(OTHER, NAMES, NOW)
    cases = {
        "it cannot be read": KeyPair(b"", b""),
        "it is signed by another CA": foreign,
        "its key does not match": KeyPair(issued.leaf.certificate, foreign.key),
    }
    for problem, leaf in cases.items():
        broken = replace(issued, leaf=leaf)
        assert str(leaf_problem(broken, NAMES, NOW)).startswith(problem)
        assert leaf_problem(ensure(broken, NAMES, NOW), NAMES, NOW) is None


def test_leaf_problem_after_clock_set_back_a_month(issued: Issued) -> None:
    assert leaf_problem(issued, NAMES, NOW - LEAF_LIFE) == "it is not valid yet"


def test_pair_problem_names_validity_and_hostname(issued: Issued) -> None:
    begin, end = NOW - CLOCK_SKEW, NOW + LEAF_LIFE
    second = timedelta(seconds=1)
    assert [pair_problem(issued.leaf, NAMES[0], each) for each in (begin, NOW, end)] == [None, None, None]
    assert pair_problem(issued.leaf, NAMES[0], begin - second) == (
        "the certificate is not valid before 2025-12-31T23:00:00Z"
    )
    assert pair_problem(issued.leaf, NAMES[0], end + second) == "the certificate expired at 2026-01-31T00:00:00Z"
    assert pair_problem(issued.leaf, "other.system.svc", NOW) == (
        f"the certificate is for {', '.join(NAMES)}, and clients connect to other.system.svc"
    )
    assert str(pair_problem(KeyPair(b"", b""), NAMES[0], NOW)).startswith("the certificate cannot be read: ")


def test_pair_problem_wildcard_matches_one_label(issued: Issued) -> None:
    leaf = issue_leaf(issued.authority, ("*.system.svc",), NOW)
    assert pair_problem(leaf, "webhook.system.svc", NOW) is None
    assert pair_problem(leaf, "webhook.other.system.svc", NOW) is not None
    assert trusted(leaf, issued.bundle, "webhook.system.svc", NOW)


def test_secret_round_trip(issued: Issued) -> None:
    assert read(write(issued)) == issued


@pytest.mark.parametrize("data", [{}, {"tls.crt": "x"}, dict.fromkeys(write(ensure(None, NAMES, NOW)), "not base64!")])
def test_secret_with_incomplete_data_is_empty(data: dict[str, str]) -> None:
    assert read(data) is None
