"""Client of the hub's listings. Import it only when needed: it takes 30 MB of memory.

The hub writes a listing from the names of a repository's files, and anyone may own a repository with a million files.
So a response has a limit, and it is not compressed.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import lru_cache

import httpx2
from huggingface_hub import HfApi, set_client_factory

from manyserve.agent.download.base import DownloadError

LISTING_BYTES = 4 * 1024 * 1024
"""The largest listing: 400 bytes for each of 10,000 files, more than a model may have."""


class _BoundedStream(httpx2.SyncByteStream):
    """The body of a response. Raises `DownloadError` beyond the limit."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > LISTING_BYTES:
                sentence = f"the hub's list of files has more than the limit of {LISTING_BYTES} bytes"
                raise DownloadError(sentence, reason="too_large", permanent=True)
            yield chunk

    def close(self) -> None:
        self._stream.close()


class BoundedTransport(httpx2.HTTPTransport):
    """A transport with a limit on the body of each response."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        response = super().handle_request(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise DownloadError("the hub compressed its list of files, which was not asked for", reason="encoded")
        if not isinstance(response.stream, httpx2.SyncByteStream):
            return response
        response.stream = _BoundedStream(response.stream)
        return response


@lru_cache(maxsize=1)
def hub_api(endpoint: str, context: ssl.SSLContext) -> HfApi:
    """Return the hub's client with our trusted certificates. It blocks."""
    limits = httpx2.Limits(max_keepalive_connections=0)  # a listing is one request, and minutes pass between two

    def client() -> httpx2.Client:
        transport = BoundedTransport(verify=context, limits=limits, trust_env=False)
        headers = {"Accept-Encoding": "identity"}
        return httpx2.Client(transport=transport, headers=headers, follow_redirects=True, trust_env=False)

    set_client_factory(client)
    return HfApi(endpoint=endpoint)
