"""The API server's verbs over HTTP, and nothing else.

One pool of at most 32 connections: more than that only adds latency, and a burst of hundreds is refused by
the API server's fair queuing (both measured). Every answer that is no success becomes a `ClusterError`.
A 429 or 503 with Retry-After was not processed, so it is sent again after that time; a 401 is sent again
once with the token read anew. Nothing else is repeated here: whoever plans, plans again.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from pydantic_core import from_json

from manyserve.api.names import MANAGER
from manyserve.cluster.access import Access
from manyserve.cluster.errors import ClusterError, Silent, Unauthorized, Unavailable, from_answer
from manyserve.cluster.kinds import EVENT, Kind
from manyserve.cluster.lines import lines

Manifest = dict[str, Any]

CONNECTIONS = 32
REQUEST_SECONDS = 10.0
PAGE = 500
TRIES = 3
LONGEST_RETRY_AFTER = 30.0
_MANAGED = {"fieldManager": MANAGER}
_WATCH = {"watch": "true", "allowWatchBookmarks": "true"}
_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Listing:
    """Objects of a kind, and the resourceVersion from which a watch goes on."""

    items: list[Manifest]
    resource_version: str


@dataclass(frozen=True)
class Selection:
    """Which objects of a kind: of one namespace, with these labels, with these fields."""

    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None

    @property
    def params(self) -> dict[str, str]:
        """The selectors, as they stand in a query."""
        wanted = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in wanted.items() if value}


EVERYTHING = Selection()


class KubeHttp:
    """A client of one API server. Use it as an asynchronous context manager, or call `close`."""

    def __init__(self, access: Access, *, connections: int = CONNECTIONS, seconds: float = REQUEST_SECONDS) -> None:
        self._access = access
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._open: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._open is not None:
            await self._open.close()
            self._open = None

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return one object."""
        return await self._send("GET", kind.path(namespace, name))

    async def list(self, kind: Kind, selection: Selection = EVERYTHING) -> Listing:
        """Return all objects."""
        pages = [page async for page in self.pages(kind, selection)]
        return Listing([item for page in pages for item in page.items], pages[-1].resource_version)

    async def pages(self, kind: Kind, selection: Selection = EVERYTHING) -> AsyncGenerator[Listing, None]:
        """Yield all objects, 500 at a time. `Expired` means: begin again."""
        params = selection.params | {"limit": str(PAGE)}
        more = True
        while more:
            page = await self._send("GET", kind.path(selection.namespace), params=params)
            metadata = page.get("metadata") or {}
            items = [_named(kind, item) for item in page.get("items") or []]
            yield Listing(items, metadata.get("resourceVersion", ""))
            more = bool(metadata.get("continue"))
            params["continue"] = metadata.get("continue", "")

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object, and return it as stored."""
        path = kind.path(manifest["metadata"].get("namespace"))
        return await self._send("POST", path, body=manifest, params=_MANAGED)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace an object; with `metadata.resourceVersion` only if it still has that one."""
        path = kind.path(manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
        return await self._send("PUT", path, body=manifest, params=_MANAGED)

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Apply an object on the server's side: the fields it names are ours from now on."""
        path = kind.path(manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
        return await self._send("PATCH", path, body=manifest, content=_APPLY, params=_MANAGED | {"force": "true"})

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Manifest, *, subresource: str | None = None
    ) -> Manifest:
        """Merge a patch into an object; what is null in it is removed."""
        path = kind.path(namespace, name, subresource)
        return await self._send("PATCH", path, body=patch, content=_MERGE, params=_MANAGED)

    async def patch_status(self, kind: Kind, namespace: str, name: str, status: Manifest) -> Manifest:
        """Merge a patch into an object's status."""
        return await self.merge_patch(kind, namespace, name, {"status": status}, subresource="status")

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> None:
        """Delete an object; with a uid or a resourceVersion only if it still has them."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in wanted.items() if value}
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self._send("DELETE", kind.path(namespace, name), body=body | {"preconditions": preconditions})

    async def create_event(self, manifest: Manifest) -> Manifest:
        """Create an Event."""
        return await self.create(EVENT, manifest)

    async def read(self, path: str) -> Manifest:
        """Return what stands at a path that is no object, such as the kinds of a group."""
        return await self._send("GET", path)

    async def watch(
        self, kind: Kind, selection: Selection = EVERYTHING, *, version: str, silence: float
    ) -> AsyncGenerator[Manifest, None]:
        """Yield the events after a resourceVersion, until the API server ends the stream.

        A stream that breaks or is cut within a line raises `Unavailable`, one that says nothing for `silence`
        seconds `Silent`.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=silence)
        seconds = str(random.randint(240, 360))  # noqa: S311  only spreads reconnections
        params = selection.params | {"resourceVersion": version, "timeoutSeconds": seconds} | _WATCH
        try:
            url = self._access.server + kind.path(selection.namespace)
            async with self._session().get(url, params=params, headers=self._headers(), timeout=timeout) as answer:
                if answer.status != 200:
                    raise await self._error(answer)
                try:
                    async for line in lines(answer.content):
                        yield from_json(line)
                finally:
                    _hang_up(answer)
        except aiohttp.SocketTimeoutError as error:
            raise Silent(f"the watch said nothing for {silence:g} s") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"the watch broke: {error!r}") from error

    async def _send(
        self,
        verb: str,
        path: str,
        *,
        body: Manifest | None = None,
        content: str = _JSON,
        params: Mapping[str, str] | None = None,
    ) -> Manifest:
        data = None if body is None else json.dumps(body).encode()
        for left in reversed(range(TRIES)):
            try:
                return await self._once(verb, path, data, content, params)
            except Unauthorized:
                if left < TRIES - 1:
                    raise
            except ClusterError as error:
                if error.retry_after is None or not left:
                    raise
                await asyncio.sleep(min(error.retry_after, LONGEST_RETRY_AFTER))
        raise AssertionError("the last try returns or raises")

    async def _once(
        self, verb: str, path: str, data: bytes | None, content: str, params: Mapping[str, str] | None
    ) -> Manifest:
        headers = self._headers() | ({"Content-Type": content} if data is not None else {})
        url = self._access.server + path
        try:
            async with self._session().request(verb, url, data=data, params=params, headers=headers) as answer:
                if answer.status >= 300:
                    raise await self._error(answer)
                found: Manifest = from_json(await answer.read())
                return found
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"{verb} {path} had no answer: {error!r}") from error

    async def _error(self, answer: aiohttp.ClientResponse) -> ClusterError:
        if answer.status == 401:
            self._access.token.refresh()
        return from_answer(answer.status, await answer.read(), answer.headers.get("Retry-After"))

    def _headers(self) -> dict[str, str]:
        token = self._access.token()
        return {"Accept": _JSON} | ({"Authorization": f"Bearer {token}"} if token else {})

    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._access.tls or True)
            self._open = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._open


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """End a stream that is given up before its end: a polite end of TLS would wait for an answer to it."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


def _named(kind: Kind, item: Manifest) -> Manifest:
    """Return an item of a list with its kind, which the API server leaves out of the items of its own kinds."""
    return {"apiVersion": kind.api_version, "kind": kind.name} | item
