"""Certificates at any time: good ones stay, worn and broken ones are replaced, and both are trusted meanwhile."""

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
from manyserve.webhook.certs.secret import read, write

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("webhook.system.svc", "webhook.system.svc.cluster.local")
DAY = timedelta(days=1)


def trusted(leaf: KeyPair, bundle: bytes, name: str, now: datetime) -> bool:
    """Ask the library whether a client with this bundle would trust the leaf."""
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


def test_what_is_issued_is_trusted_for_each_name_and_for_no_other(issued: Issued) -> None:
    for name in NAMES:
        assert trusted(issued.leaf, issued.bundle, name, NOW)
    assert not trusted(issued.leaf, issued.bundle, "other.system.svc", NOW)


def test_what_is_good_stays_the_same(issued: Issued) -> None:
    assert ensure(issued, NAMES, NOW + 19 * DAY) is issued


def test_a_clock_that_is_a_little_behind_trusts_it_too(issued: Issued) -> None:
    assert trusted(issued.leaf, issued.bundle, NAMES[0], NOW - timedelta(minutes=50))


def test_the_leaf_is_renewed_when_two_thirds_of_its_life_are_over(issued: Issued) -> None:
    later = NOW + 20 * DAY
    renewed = ensure(issued, NAMES, later)
    assert renewed.leaf != issued.leaf
    assert (renewed.authority, renewed.bundle) == (issued.authority, issued.bundle)
    assert expiry(renewed.leaf) == later + LEAF_LIFE


def test_a_leaf_for_other_names_is_renewed(issued: Issued) -> None:
    assert trusted(ensure(issued, ("other.svc",), NOW).leaf, issued.bundle, "other.svc", NOW)


def test_a_renewed_authority_is_trusted_beside_the_old_one(issued: Issued) -> None:
    later = NOW + CA_LIFE * 2 / 3 + DAY
    renewed = ensure(issued, NAMES, later)
    assert renewed.authority != issued.authority
    old_leaf = issue_leaf(issued.authority, NAMES, later)
    assert trusted(old_leaf, renewed.bundle, NAMES[0], later)
    assert trusted(renewed.leaf, renewed.bundle, NAMES[0], later)


def test_an_authority_that_has_ended_leaves_the_bundle(issued: Issued) -> None:
    renewed = ensure(issued, NAMES, NOW + CA_LIFE + DAY)
    assert len(x509.load_pem_x509_certificates(renewed.bundle)) == 1


OTHER = issue_authority(NOW)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"authority": KeyPair(b"", b"")}, "it cannot be read"),
        ({"bundle": b"junk"}, "it cannot be read"),
        ({"bundle": OTHER.certificate}, "it is not in its own bundle"),
    ],
)
def test_a_broken_authority_is_replaced(issued: Issued, wrong: dict[str, KeyPair | bytes], why: str) -> None:
    broken = replace(issued, **wrong)  # type: ignore[arg-type]
    assert str(authority_problem(broken, NOW)).startswith(why)
    healed = ensure(broken, NAMES, NOW)
    assert trusted(healed.leaf, healed.bundle, NAMES[0], NOW)


def test_an_authority_with_another_ones_key_is_replaced(issued: Issued) -> None:
    broken = replace(issued, authority=KeyPair(issued.authority.certificate, OTHER.key))
    assert authority_problem(broken, NOW) == "its key does not match"


def test_a_broken_leaf_is_replaced(issued: Issued) -> None:
    foreign = issue_leaf(OTHER, NAMES, NOW)
    cases = {
        "it cannot be read": KeyPair(b"", b""),
        "it is signed by another CA": foreign,
        "its key does not match": KeyPair(issued.leaf.certificate, foreign.key),
    }
    for why, leaf in cases.items():
        broken = replace(issued, leaf=leaf)
        assert str(leaf_problem(broken, NAMES, NOW)).startswith(why)
        assert leaf_problem(ensure(broken, NAMES, NOW), NAMES, NOW) is None


def test_a_clock_set_back_a_month_makes_a_leaf_that_is_valid_then(issued: Issued) -> None:
    assert leaf_problem(issued, NAMES, NOW - LEAF_LIFE) == "it is not valid yet"


def test_a_pair_is_not_accepted_before_its_time_nor_after_nor_by_another_name(issued: Issued) -> None:
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


def test_a_name_with_an_asterisk_stands_for_one_label(issued: Issued) -> None:
    leaf = issue_leaf(issued.authority, ("*.system.svc",), NOW)
    assert pair_problem(leaf, "webhook.system.svc", NOW) is None
    assert pair_problem(leaf, "webhook.other.system.svc", NOW) is not None
    assert trusted(leaf, issued.bundle, "webhook.system.svc", NOW)


def test_a_secret_gives_back_what_was_written_to_it(issued: Issued) -> None:
    assert read(write(issued)) == issued


@pytest.mark.parametrize("data", [{}, {"tls.crt": "x"}, dict.fromkeys(write(ensure(None, NAMES, NOW)), "not base64!")])
def test_a_secret_that_holds_no_whole_set_counts_as_empty(data: dict[str, str]) -> None:
    assert read(data) is None
