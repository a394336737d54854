"""Asking servers of the web: every hop of every redirect is judged before it is taken.

A hop is refused when its scheme or host may not be read from, when it leads from https to http, in a circle,
or is one too many. Headers from a secret go to the host they are for and, once a redirect left it, never
again. What is sent encoded is kept as it came: nothing is decoded here, so nothing can swell here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver
from yarl import URL

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.ssrf import AddressPolicy, CheckedResolver, RefusedError
from manyserve.agent.redaction import one_line

Headers = Mapping[str, str]

MOST_HOPS = 10
_REDIRECTS = {301, 302, 303, 307, 308}
_OURS = {"Accept-Encoding": "identity", "User-Agent": "manyserve-agent"}


@dataclass(frozen=True)
class Web:
    """What holds for all that is asked of the web."""

    allowed: AddressPolicy
    stall: float
    """Seconds that a connection, an answer's head or a piece of its body may take."""
    allow_http: bool = False
    ca_file: Path | None = None
    lookup: AbstractResolver | None = None
    """Who resolves names; the system does when it is None."""

    @asynccontextmanager
    async def visit(self, uri: str) -> AsyncIterator[Visit]:
        """Open the connections for one model. `uri` is what errors speak of."""
        connector = TCPConnector(resolver=CheckedResolver(self.allowed, self.lookup), ssl=trust(self.ca_file))
        timeout = ClientTimeout(total=None, sock_connect=self.stall, sock_read=self.stall)
        async with ClientSession(
            connector=connector,
            timeout=timeout,
            headers=_OURS,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # a proxy would connect to addresses that nobody judged
        ) as session:
            yield Visit(self, session, one_line(uri))


class Visit:
    """The connections for one model."""

    def __init__(self, web: Web, session: ClientSession, uri: str) -> None:
        self.web = web
        self.uri = uri
        self._session = session

    @asynccontextmanager
    async def ask(self, method: str, url: URL, headers: Headers, private: Headers) -> AsyncIterator[ClientResponse]:
        """Send a request, follow its redirects, and give the answer, whose status may be any.

        `private` headers go to the origin of `url` only. Raises `DownloadError` for a hop that is refused.
        """
        taken = [url]
        while True:
            try:
                response = await self._hop(method, taken, headers, private)
                async with response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        yield response
                        return
                taken.append(next_hop(taken, location))
            except RefusedError as error:
                words = one_line(error if len(taken) == 1 else f"it is redirected, and {error}")
                sentence = f"{self.uri} may not be read: {words}"
                raise DownloadError(sentence, reason="refused", permanent=True) from None

    async def _hop(self, method: str, taken: list[URL], headers: Headers, private: Headers) -> ClientResponse:
        check(self.web, taken[-1])
        stayed = all(hop.origin() == taken[0].origin() for hop in taken)
        sent = {**private, **headers} if stayed else headers
        async with asyncio.timeout(self.web.stall):
            return await self._session.request(method, taken[-1], headers=sent, allow_redirects=False)


def check(web: Web, hop: URL) -> None:
    """Judge a URL as far as it tells itself. Raises `RefusedError`."""
    if not hop.raw_host:
        raise RefusedError("it names no host")
    schemes = ("https", "http") if web.allow_http or hop.raw_host in web.allowed.hosts else ("https",)
    if hop.scheme not in schemes:
        words = " and ".join(f"{each}://" for each in schemes)
        raise RefusedError(f"{hop.scheme}:// is not allowed, only {words}")
    if hop.raw_user is not None or hop.raw_password is not None:
        raise RefusedError("it names a user; what is secret belongs into a secret with https-host and headers")
    web.allowed.check_literal(hop.raw_host)


def next_hop(taken: list[URL], location: str) -> URL:
    """Return where a redirect leads after the hops taken. Raises `RefusedError`."""
    try:
        found = taken[-1].join(URL(location, encoded=location.isascii())).with_fragment(None)
        found.port  # noqa: B018 (it is read when it is asked for, and may be none)
    except ValueError:
        raise RefusedError("it leads to what is no URL") from None
    if taken[-1].scheme == "https" and found.scheme == "http":
        raise RefusedError(f"{taken[-1].raw_host} leads from https to http")
    if found in taken:
        raise RefusedError("the redirects lead in a circle")
    if len(taken) > MOST_HOPS:
        raise RefusedError(f"there are more than {MOST_HOPS} redirects")
    return found


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return whom https is believed: the system's roots, and those of a file as it is now. Raises `DownloadError`."""
    try:
        return _trust(ca_file, ca_file.stat().st_mtime_ns if ca_file else 0)
    except OSError as error:  # ssl.SSLError is one
        sentence = f"the certificates in {ca_file} could not be read: {error.strerror or error}"
        raise DownloadError(sentence, reason="settings") from error


@lru_cache(maxsize=4)
def _trust(ca_file: Path | None, _: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
