"""Certificates, purely: is what we have still good, and if not, what comes in its place.

The webhook is its own authority, so that nobody has to install one. The CA lives for ten years and the leaf
for thirty days; either is replaced when two thirds of its life are over. A replaced CA stays in the bundle
while it is valid, so that a leaf which a slower replica still serves stays trusted.
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
    """What the Secret holds: our authority, the bundle of all authorities to trust, and the leaf."""

    authority: KeyPair
    bundle: bytes
    leaf: KeyPair


def ensure(issued: Issued | None, names: Sequence[str], now: datetime) -> Issued:
    """Return certificates that are good for these names at this time: the same ones while they are."""
    if issued is None or why_not_authority(issued, now):
        authority = issue_authority(now)
        bundle = authority.certificate + _still_valid(issued.bundle if issued else b"", now)
        return Issued(authority, bundle, issue_leaf(authority, names, now))
    if why_not_leaf(issued, names, now):
        return Issued(issued.authority, issued.bundle, issue_leaf(issued.authority, names, now))
    return issued


def why_not_authority(issued: Issued, now: datetime) -> str | None:
    """Return why the CA must be replaced, or None while it is good."""
    try:
        certificate, key = _certificate(issued.authority.certificate), key_of(issued.authority.key)
        bundled = x509.load_pem_x509_certificates(issued.bundle)
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    if key.public_key() != certificate.public_key():
        return "its key is another one's"
    if certificate not in bundled:
        return "it is not in its own bundle"
    return _why_worn(certificate, now)


def why_not_leaf(issued: Issued, names: Sequence[str], now: datetime) -> str | None:
    """Return why the leaf must be replaced, or None while it is good."""
    try:
        certificate, key = _certificate(issued.leaf.certificate), key_of(issued.leaf.key)
        certificate.verify_directly_issued_by(_certificate(issued.authority.certificate))
    except InvalidSignature:
        return "another CA signed it"
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    if key.public_key() != certificate.public_key():
        return "its key is another one's"
    if set(names) - set(names_of(certificate)):
        return f"it is not for {', '.join(names)}"
    return _why_worn(certificate, now)


def why_not_accepted(pair: KeyPair, name: str, now: datetime) -> str | None:
    """Return why a client that comes by this DNS name would refuse a pair now, whoever signed it."""
    try:
        certificate = _certificate(pair.certificate)
    except ValueError as error:
        return f"the certificate cannot be read: {error}"
    if now < certificate.not_valid_before_utc:
        return f"the certificate is not valid before {_iso(certificate.not_valid_before_utc)}"
    if now > certificate.not_valid_after_utc:
        return f"the certificate ended at {_iso(certificate.not_valid_after_utc)}"
    own = names_of(certificate)
    any_of_its_domain = f"*.{name.partition('.')[2]}"
    if not {name, any_of_its_domain} & {each.lower() for each in own}:
        return f"the certificate is for {', '.join(own) or 'no name'}, and clients come by {name}"
    return None


def is_trusted(leaf: KeyPair, bundle: bytes) -> bool:
    """Tell whether one of a bundle's authorities signed a certificate."""
    try:
        certificate, authorities = _certificate(leaf.certificate), x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return False
    return any(_signed(certificate, each) for each in authorities)


def expiry(pair: KeyPair) -> datetime:
    """Return when a pair's certificate ends. Raises `ValueError`."""
    return _certificate(pair.certificate).not_valid_after_utc


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


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


def _why_worn(certificate: x509.Certificate, now: datetime) -> str | None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return "it is not valid yet"
    return "two thirds of its life are over" if now >= begin + (end - begin) * 2 / 3 else None


def _still_valid(bundle: bytes, now: datetime) -> bytes:
    try:
        found = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return b""
    old = [each for each in found if each.not_valid_after_utc > now]
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in old[:3])
