"""HTTP client that checks the URL of each redirect before it is requested.

A redirect is refused for five reasons: its scheme or its host is not allowed, it leads from https to http or in a
circle, or it is one too many. Headers from a secret go to their origin only. After a redirect to another origin they
are never sent again. Encoded bodies are kept as they are: without decoding, no body can grow.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, StreamReader, TCPConnector
from aiohttp.abc import AbstractResolver
from yarl import URL

from manyserve.agent.download.base import CHUNK_BYTES, DownloadError
from manyserve.agent.download.ssrf import AddressPolicy, CheckedResolver, RefusedError
from manyserve.redaction import one_line

Headers = Mapping[str, str]

MAX_REDIRECTS = 10
_REDIRECTS = {301, 302, 303, 307, 308}
_AGENT_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "manyserve-agent"}


@dataclass(frozen=True)
class HttpClient:
    """The settings of all web requests."""

    policy: AddressPolicy
    stall_seconds: float
    """The timeout of a connection, of the head of a response, and of each chunk of its body."""
    allow_http: bool = False
    ca_file: Path | None = None
    resolver: AbstractResolver | None = None
    """The resolver of host names; None is the system's."""

    @asynccontextmanager
    async def session(self, uri: str) -> AsyncIterator[HttpSession]:
        """Open the connections for one model. Errors name it by `uri`."""
        connector = TCPConnector(resolver=CheckedResolver(self.policy, self.resolver), ssl=ssl_context(self.ca_file))
        timeout = ClientTimeout(total=None, sock_connect=self.stall_seconds, sock_read=self.stall_seconds)
        async with ClientSession(
            connector=connector,
            timeout=timeout,
            headers=_AGENT_HEADERS,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # a proxy would connect to unchecked addresses
        ) as session:
            yield HttpSession(self, session, one_line(uri))


class HttpSession:
    """The connections for one model."""

    def __init__(self, client: HttpClient, session: ClientSession, uri: str) -> None:
        self.client = client
        self.uri = uri
        self._session = session

    @asynccontextmanager
    async def request(
        self, method: str, url: URL, headers: Headers, secret_headers: Headers
    ) -> AsyncIterator[ClientResponse]:
        """Send a request, follow its redirects, and yield the response, with any status.

        `secret_headers` go to the origin of `url` only. Raises `DownloadError` for a refused redirect.
        """
        hops = [url]
        while True:
            try:
                response = await self._send(method, hops, headers, secret_headers)
                async with response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        yield response
                        return
                hops.append(next_hop(hops, location))
            except RefusedError as error:
                words = one_line(error if len(hops) == 1 else f"it is redirected, and {error}")
                sentence = f"{self.uri} may not be read: {words}"
                raise DownloadError(sentence, reason="refused", permanent=True) from None

    async def _send(self, method: str, hops: list[URL], headers: Headers, secret_headers: Headers) -> ClientResponse:
        check_url(self.client, hops[-1])
        is_same_origin = all(hop.origin() == hops[0].origin() for hop in hops)
        sent = {**secret_headers, **headers} if is_same_origin else headers
        async with asyncio.timeout(self.client.stall_seconds):
            return await self._session.request(method, hops[-1], headers=sent, allow_redirects=False)


async def read_chunks(body: StreamReader, stall_seconds: float) -> AsyncIterator[bytes]:
    """Yield the body in full chunks. Raises `TimeoutError` when one takes longer, even if single bytes arrive."""
    while True:
        async with asyncio.timeout(stall_seconds):
            try:
                chunk = await body.readexactly(CHUNK_BYTES)
            except asyncio.IncompleteReadError as error:
                chunk = error.partial
        if chunk:
            yield chunk
        if len(chunk) < CHUNK_BYTES:
            return


def check_url(client: HttpClient, url: URL) -> None:
    """Check the scheme, the user and a literal address of a URL. Raises `RefusedError`."""
    if not url.raw_host:
        raise RefusedError("it names no host")
    schemes = ("https", "http") if client.allow_http or url.raw_host in client.policy.hosts else ("https",)
    if url.scheme not in schemes:
        words = " and ".join(f"{each}://" for each in schemes)
        raise RefusedError(f"{url.scheme}:// is not allowed, only {words}")
    if url.raw_user is not None or url.raw_password is not None:
        raise RefusedError("it names a user; credentials belong into a secret with https-host and headers")
    client.policy.check_literal(url.raw_host)


def next_hop(hops: list[URL], location: str) -> URL:
    """Return the target of a redirect after the previous hops. Raises `RefusedError`."""
    try:
        url = hops[-1].join(URL(location, encoded=location.isascii())).with_fragment(None)
        url.port  # noqa: B018 (parsed on access, and may be invalid)
    except ValueError:
        raise RefusedError("it leads to an invalid URL") from None
    if hops[-1].scheme == "https" and url.scheme == "http":
        raise RefusedError(f"{hops[-1].raw_host} leads from https to http")
    if url in hops:
        raise RefusedError("the redirects lead in a circle")
    if len(hops) > MAX_REDIRECTS:
        raise RefusedError(f"there are more than {MAX_REDIRECTS} redirects")
    return url


def ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the system's roots and those of a file, with its present content. Raises `DownloadError`."""
    try:
        return _ssl_context(ca_file, ca_file.stat().st_mtime_ns if ca_file else 0)
    except OSError as error:  # ssl.SSLError is one
        sentence = f"the certificates in {ca_file} could not be read: {error.strerror or error}"
        raise DownloadError(sentence, reason="settings") from error


@lru_cache(maxsize=4)
def _ssl_context(ca_file: Path | None, _: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
