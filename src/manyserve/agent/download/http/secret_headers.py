"""Headers that a secret gives for a host, as in KServe.

The key `https-host` names the host, with or without its port; the key `headers` is a JSON object of texts. They
are sent over https, whoever wrote the model's URI, and over http only where the key says `http://host` itself.
"""

from __future__ import annotations

import json
import re

from yarl import URL

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import Folders

HOST_KEY, HEADERS_KEY = "https-host", "headers"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"host", "range", "if-range", "content-length", "transfer-encoding", "connection", "accept-encoding"})


def secret_headers(url: URL, secrets: Folders) -> dict[str, str]:
    """Return the headers for a URL. Raises `DownloadError`, which names the secret and no value."""
    before = "" if url.scheme == "https" else f"{url.scheme}://"
    hosts = {f"{before}{host}" for host in (url.host, url.raw_host, url.authority, f"{url.raw_host}:{url.port}")}
    found: dict[str, str] = {}
    for name, secret in secrets.items():
        if secret.get(HOST_KEY, "").lower() in hosts:
            found |= _parsed(name, secret.get(HEADERS_KEY, "{}"))
    return found


def _parsed(secret: str, text: str) -> dict[str, str]:
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(map(_is_header, headers, headers.values())):
        sentence = f"the key {HEADERS_KEY} of the secret {secret} must be a JSON object of header names and texts"
        raise DownloadError(sentence, reason="bad_secret", permanent=True)
    wrong = sorted(name for name in headers if name.lower() in _OURS)
    if wrong:
        sentence = f"the key {HEADERS_KEY} of the secret {secret} has {', '.join(wrong)}, which the agent sets itself"
        raise DownloadError(sentence, reason="bad_secret", permanent=True)
    return headers


def _is_header(name: str, value: object) -> bool:
    return bool(_NAME.fullmatch(name)) and isinstance(value, str) and value.isprintable()
