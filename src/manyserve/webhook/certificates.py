"""Certificates, purely: is what we have still good, and if not, what comes in its place.

The webhook is its own authority, so that nobody has to install one. The CA lives for ten years and the leaf
for thirty days; either is replaced when two thirds of its life are over. A replaced CA stays in the bundle
while it is valid, so that a leaf which a slower replica still serves stays trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)
_SIGNS = x509.KeyUsage(
    digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A certificate, perhaps with those that signed it, and its key; PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Issued:
    """What the Secret holds: our authority, the bundle of all authorities to trust, and the leaf."""

    authority: Pair
    bundle: bytes
    leaf: Pair


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
        certificate, key = _certificate(issued.authority.certificate), _key(issued.authority.key)
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
        certificate, key = _certificate(issued.leaf.certificate), _key(issued.leaf.key)
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


def is_trusted(leaf: Pair, bundle: bytes) -> bool:
    """Tell whether one of a bundle's authorities signed a certificate."""
    try:
        certificate, authorities = _certificate(leaf.certificate), x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return False
    return any(_signed(certificate, each) for each in authorities)


def expiry(pair: Pair) -> datetime:
    """Return when a pair's certificate ends. Raises `ValueError`."""
    return _certificate(pair.certificate).not_valid_after_utc


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def issue_authority(now: datetime) -> Pair:
    """Return a new CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"manyserve webhook CA {now:%Y-%m-%d}")])
    builder = _builder(subject, subject, key, now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_SIGNS, critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue_leaf(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """Return a new certificate for these DNS names, signed by the CA."""
    issuer, signer = _certificate(authority.certificate), _key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "manyserve webhook")])
    builder = _builder(subject, issuer.subject, key, now, LEAF_LIFE)
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    form, text = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    return Pair(certificate.public_bytes(text), key.private_bytes(text, form, serialization.NoEncryption()))


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key is not one of ours")
    return key


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
