"""Headers from a secret for one host, as in KServe.

The key `https-host` names the host, with or without its port. The key `headers` is a JSON object of texts.
The headers are sent over https for any URI of the host. Over http they are sent only when `https-host` itself is
`http://host`.
"""

from __future__ import annotations

import json
import re

from yarl import URL

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import SecretsByName

HOST_KEY, HEADERS_KEY = "https-host", "headers"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_AGENT_HEADERS = frozenset(
    {"host", "range", "if-range", "content-length", "transfer-encoding", "connection", "accept-encoding"}
)


def secret_headers(url: URL, secrets: SecretsByName) -> dict[str, str]:
    """Return the headers for a URL. Raises `DownloadError`, which names the secret and no value."""
    scheme = "" if url.scheme == "https" else f"{url.scheme}://"
    names = (url.host, url.raw_host, url.authority, f"{url.raw_host}:{url.port}")
    hostnames = {f"{scheme}{name}" for name in names}
    headers: dict[str, str] = {}
    for name, secret in secrets.items():
        if secret.get(HOST_KEY, "").lower() in hostnames:
            headers |= _parse(name, secret.get(HEADERS_KEY, "{}"))
    return headers


def _parse(secret: str, text: str) -> dict[str, str]:
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(map(_is_header, headers, headers.values())):
        sentence = f"the key {HEADERS_KEY} of the secret {secret} must be a JSON object of header names and texts"
        raise DownloadError(sentence, reason="bad_secret", permanent=True)
    reserved = sorted(name for name in headers if name.lower() in _AGENT_HEADERS)
    if reserved:
        names = ", ".join(reserved)
        sentence = f"the key {HEADERS_KEY} of the secret {secret} has {names}, which the agent sets itself"
        raise DownloadError(sentence, reason="bad_secret", permanent=True)
    return headers


def _is_header(name: str, value: object) -> bool:
    return bool(_NAME.fullmatch(name)) and isinstance(value, str) and value.isprintable()
