"""Checks of the self-signed certificates, and their renewal. Pure: the time is an argument.

The webhook has a CA of its own, so that users need no certificate manager. The CA is valid for ten years and the leaf
for thirty days. Either is replaced after two thirds of its lifetime. A replaced CA stays in the bundle while it is
valid, so that the leaf of a slower replica stays trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from manyserve.webhook.certs.issue import KeyPair, issue_authority, issue_leaf, key_of


@dataclass(frozen=True)
class Issued:
    """Content of the Secret: the CA, the bundle of all trusted CAs, and the leaf."""

    authority: KeyPair
    bundle: bytes
    leaf: KeyPair


def ensure(issued: Issued | None, names: Sequence[str], now: datetime) -> Issued:
    """Return certificates that are good for these names at this time: the same ones while they are good."""
    if issued is None or authority_problem(issued, now):
        authority = issue_authority(now)
        bundle = authority.certificate + _still_valid(issued.bundle if issued else b"", now)
        return Issued(authority, bundle, issue_leaf(authority, names, now))
    if leaf_problem(issued, names, now):
        return Issued(issued.authority, issued.bundle, issue_leaf(issued.authority, names, now))
    return issued


def authority_problem(issued: Issued, now: datetime) -> str | None:
    """Return the reason to replace the CA, or None while it is good."""
    try:
        certificate, key = _certificate(issued.authority.certificate), key_of(issued.authority.key)
        bundled = x509.load_pem_x509_certificates(issued.bundle)
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    if key.public_key() != certificate.public_key():
        return "its key does not match"
    if certificate not in bundled:
        return "it is not in its own bundle"
    return _validity_problem(certificate, now)


def leaf_problem(issued: Issued, names: Sequence[str], now: datetime) -> str | None:
    """Return the reason to replace the leaf, or None while it is good."""
    try:
        certificate, key = _certificate(issued.leaf.certificate), key_of(issued.leaf.key)
        certificate.verify_directly_issued_by(_certificate(issued.authority.certificate))
    except InvalidSignature:
        return "it is signed by another CA"
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    if key.public_key() != certificate.public_key():
        return "its key does not match"
    if set(names) - set(names_of(certificate)):
        return f"it is not for {', '.join(names)}"
    return _validity_problem(certificate, now)


def pair_problem(pair: KeyPair, hostname: str, now: datetime) -> str | None:
    """Return why a client would refuse a pair for this host name now, for any CA that signed it; else None."""
    try:
        certificate = _certificate(pair.certificate)
    except ValueError as error:
        return f"the certificate cannot be read: {error}"
    if now < certificate.not_valid_before_utc:
        return f"the certificate is not valid before {_iso(certificate.not_valid_before_utc)}"
    if now > certificate.not_valid_after_utc:
        return f"the certificate expired at {_iso(certificate.not_valid_after_utc)}"
    names = names_of(certificate)
    wildcard = f"*.{hostname.partition('.')[2]}"
    if not {hostname, wildcard} & {each.lower() for each in names}:
        return f"the certificate is for {', '.join(names) or 'no name'}, and clients connect to {hostname}"
    return None


def is_trusted(leaf: KeyPair, bundle: bytes) -> bool:
    """Return whether a CA of a bundle signed a certificate."""
    try:
        certificate, authorities = _certificate(leaf.certificate), x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return False
    return any(_signed(certificate, each) for each in authorities)


def expiry(pair: KeyPair) -> datetime:
    """Return the time at which a pair's certificate expires. Raises `ValueError`."""
    return _certificate(pair.certificate).not_valid_after_utc


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names of a certificate."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _validity_problem(certificate: x509.Certificate, now: datetime) -> str | None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return "it is not valid yet"
    return "two thirds of its life are over" if now >= begin + (end - begin) * 2 / 3 else None


def _still_valid(bundle: bytes, now: datetime) -> bytes:
    try:
        authorities = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return b""
    valid = [each for each in authorities if each.not_valid_after_utc > now]
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in valid[:3])
