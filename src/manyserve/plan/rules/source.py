"""Rules for a model's storage URI: its format, and the sources that the configuration allows.

`RULES` check the formats of `api.storageuri`. `source_error` checks two settings: `allowHttp` and `allowedNetworks`.
Literal addresses are checked as the agent checks them, and localhost is a literal address. A name of the cluster is
refused while no network is allowed. Any other host name passes, since only the agent can resolve it; the agent checks
each address before it connects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from manyserve.api.address_policy import Network, RefusedError, literal, refusal
from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.storageuri import PLAIN_SENTENCE, SCHEME_SENTENCE, URI_FORMATS, is_safe, matches_format, scheme_of
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.rules.fields import FieldError, quoted_uri, too_long

STORAGE_URI = "spec.model.storageUri"
URI_LIMIT = 2048
"""Characters."""
HTTP_SENTENCE = (
    "http:// is not allowed, since anyone on the way can change what is read; it must be https://, or the "
    "administrator sets credentials.https.allowHttp in inferenceservice-config"
)


ALLOWED = "it must be a public host, unless credentials.https.allowedNetworks in inferenceservice-config has it"
_CLUSTER_SUFFIXES = (".svc", ".cluster.local", ".local", ".internal")


def uri_is_not_too_long(model: TrainedModel) -> Iterator[FieldError]:
    """Require a URI of at most `URI_LIMIT` characters; the other rules skip a longer one."""
    uri = model.spec.model.storage_uri
    if _is_too_long(uri):
        yield FieldError(STORAGE_URI, too_long(uri, URI_LIMIT))


def scheme_is_known(model: TrainedModel) -> Iterator[FieldError]:
    """Require a scheme that agents can download."""
    uri = model.spec.model.storage_uri
    scheme = scheme_of(uri)
    if scheme not in URI_FORMATS and not _is_too_long(uri):
        clause = "has no scheme" if scheme is None else "has an unknown scheme"
        yield FieldError(STORAGE_URI, f"{quoted_uri(uri)} {clause}; it {SCHEME_SENTENCE}")


def uri_is_plain(model: TrainedModel) -> Iterator[FieldError]:
    """Refuse a URI with parts that could hold a secret or name another source."""
    uri = model.spec.model.storage_uri
    if scheme_of(uri) is not None and not _is_too_long(uri) and not is_safe(uri):
        yield FieldError(STORAGE_URI, f"{quoted_uri(uri)} is not a plain URI; it {PLAIN_SENTENCE}")


def uri_matches_its_scheme(model: TrainedModel) -> Iterator[FieldError]:
    """Require the parts of the scheme: a bucket, a host name, a claim."""
    uri = model.spec.model.storage_uri
    uri_format = URI_FORMATS.get(scheme_of(uri) or "")
    if uri_format is not None and not _is_too_long(uri) and is_safe(uri) and not matches_format(uri, uri_format):
        yield FieldError(STORAGE_URI, f"{quoted_uri(uri)} is not allowed; it {uri_format.sentence}")


RULES: tuple[Callable[[TrainedModel], Iterator[FieldError]], ...] = (
    uri_is_not_too_long,
    scheme_is_known,
    uri_is_plain,
    uri_matches_its_scheme,
)


def source_error(uri: str, https: HttpsCredentials) -> str | None:
    """Return the sentence for a well-formed URI that the configuration does not allow, or None."""
    scheme = scheme_of(uri)
    if scheme not in ("http", "https"):
        return None
    if scheme == "http" and not https.allow_http:
        return HTTP_SENTENCE
    return hostname_error(_hostname(uri), https.allowed_networks)


def hostname_error(hostname: str, allowed: Sequence[Network]) -> str | None:
    """Return the sentence for a host name that must not be read from, or None. Names are not resolved."""
    name = hostname.lower()
    try:
        address = literal("127.0.0.1" if name == "localhost" or name.endswith(".localhost") else name)
    except RefusedError as error:
        return str(error)
    if address is not None:
        kind = refusal(address, allowed)
        return f"{hostname} is {kind}; {ALLOWED}" if kind else None
    is_internal = "." not in name or name.endswith(_CLUSTER_SUFFIXES)
    return f"{hostname} is a name inside the cluster; {ALLOWED}" if is_internal and not allowed else None


def _is_too_long(uri: str) -> bool:
    return len(uri) > URI_LIMIT


def _hostname(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:  # brackets without an address
        return "[]"
