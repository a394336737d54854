"""Rules for a model's storage URI: its form, and the sources that the configuration allows.

`RULES` are the forms of `api.storageuri`. `source_error` checks two settings besides: whether http:// is allowed, and
which networks are allowed that are not public. Host names pass here: the agent resolves them, and checks each address
before it connects. Literal addresses, localhost and the cluster's own names are refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.storageuri import PLAIN_SENTENCE, SCHEME_SENTENCE, URI_FORMATS, is_safe, matches_format, scheme_of
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.rules.field_error import FieldError, quoted_uri, too_long
from manyserve.plan.rules.hostnames import hostname_error

STORAGE_URI = "spec.model.storageUri"
URI_LIMIT = 2048
"""Characters."""
HTTP_SENTENCE = (
    "http:// is not allowed, since anyone on the way can change what is read; it must be https://, or the "
    "administrator sets credentials.https.allowHttp in inferenceservice-config"
)


def uri_has_a_size(model: TrainedModel) -> Iterator[FieldError]:
    """Require a URI that is not longer than those of stores; a longer one is not read any further."""
    uri = model.spec.model.storage_uri
    if _is_too_long(uri):
        yield FieldError(STORAGE_URI, too_long(uri, URI_LIMIT))


def scheme_is_known(model: TrainedModel) -> Iterator[FieldError]:
    """Require a scheme that agents can download."""
    uri = model.spec.model.storage_uri
    scheme = scheme_of(uri)
    if scheme not in URI_FORMATS and not _is_too_long(uri):
        found = "has no scheme" if scheme is None else "has an unknown scheme"
        yield FieldError(STORAGE_URI, f"{quoted_uri(uri)} {found}; it {SCHEME_SENTENCE}")


def uri_is_plain(model: TrainedModel) -> Iterator[FieldError]:
    """Refuse a URI that could hold a secret or lead elsewhere."""
    uri = model.spec.model.storage_uri
    if scheme_of(uri) is not None and not _is_too_long(uri) and not is_safe(uri):
        yield FieldError(STORAGE_URI, f"{quoted_uri(uri)} is not a plain URI; it {PLAIN_SENTENCE}")


def uri_has_the_form_of_its_scheme(model: TrainedModel) -> Iterator[FieldError]:
    """Require the parts of the scheme: a bucket, a host name, a claim."""
    uri = model.spec.model.storage_uri
    form = URI_FORMATS.get(scheme_of(uri) or "")
    if form is not None and not _is_too_long(uri) and is_safe(uri) and not matches_format(uri, form):
        yield FieldError(STORAGE_URI, f"{quoted_uri(uri)} is not allowed; it {form.sentence}")


RULES: tuple[Callable[[TrainedModel], Iterator[FieldError]], ...] = (
    uri_has_a_size,
    scheme_is_known,
    uri_is_plain,
    uri_has_the_form_of_its_scheme,
)


def source_error(uri: str, https: HttpsCredentials) -> str | None:
    """Return the sentence for a URI, right in its form, that the configuration does not allow; None when it does."""
    scheme = scheme_of(uri)
    if scheme not in ("http", "https"):
        return None
    if scheme == "http" and not https.allow_http:
        return HTTP_SENTENCE
    return hostname_error(_hostname(uri), https.allowed_networks)


def _is_too_long(uri: str) -> bool:
    return len(uri) > URI_LIMIT


def _hostname(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:  # brackets without an address
        return "[]"
