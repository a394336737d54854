"""Client of the API server: one method for each verb, over the connections of `transport`.

docs/decisions/0004-own-client-and-informers.md has the reasons and figures.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from manyserve.api.names import MANAGER
from manyserve.cluster.errors import ClusterError, NamespaceEnding
from manyserve.cluster.kinds import EVENT, Kind
from manyserve.cluster.transport import JSON, Manifest, Transport

__all__ = ["EVERYTHING", "KubeClient", "ListOptions", "Listing", "Manifest"]

PAGE = 500
"""Objects of one page of a list."""
_MANAGED = {"fieldManager": MANAGER}
_WATCH = {"watch": "true", "allowWatchBookmarks": "true"}
_MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Listing:
    """Objects of a kind, and the resourceVersion from which a watch continues."""

    items: list[Manifest]
    resource_version: str


@dataclass(frozen=True)
class ListOptions:
    """Selection of the objects of a kind: by namespace, labels and fields."""

    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None

    @property
    def params(self) -> dict[str, str]:
        """The selectors as query parameters."""
        selectors = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in selectors.items() if value}


EVERYTHING = ListOptions()


class KubeClient(Transport):
    """Client of one API server. Use it as an asynchronous context manager, or call `close`."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return one object."""
        return await self._send("GET", kind.path(namespace, name))

    async def get_metadata(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return the metadata of one object. Its other fields never leave the API server."""
        return await self._send("GET", kind.path(namespace, name), accept=_METADATA)

    async def list(self, kind: Kind, selection: ListOptions = EVERYTHING) -> Listing:
        """Return all objects."""
        pages = [page async for page in self.pages(kind, selection)]
        return Listing([item for page in pages for item in page.items], pages[-1].resource_version)

    async def pages(self, kind: Kind, selection: ListOptions = EVERYTHING) -> AsyncGenerator[Listing, None]:
        """Yield all objects, `PAGE` at a time. `Expired` means that the list has to begin again."""
        params = selection.params | {"limit": str(PAGE)}
        has_more = True
        while has_more:
            page = await self._send("GET", kind.path(selection.namespace), params=params)
            metadata = page.get("metadata") or {}
            items = [_with_kind(kind, item) for item in page.get("items") or []]
            yield Listing(items, metadata.get("resourceVersion", ""))
            has_more = bool(metadata.get("continue"))
            params["continue"] = metadata.get("continue", "")

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object, and return it as the API server stored it."""
        namespace = manifest["metadata"].get("namespace")
        return await self._write("POST", kind.path(namespace), namespace, body=manifest)

    async def try_out(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object as a dry run: it is reviewed, and never stored."""
        namespace = manifest["metadata"].get("namespace")
        params = _MANAGED | {"dryRun": "All"}
        return await self._write("POST", kind.path(namespace), namespace, body=manifest, params=params)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace an object. With `metadata.resourceVersion` another version is a `Conflict`."""
        namespace = manifest["metadata"].get("namespace")
        path = kind.path(namespace, manifest["metadata"]["name"])
        return await self._write("PUT", path, namespace, body=manifest)

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Apply an object on the server side, with force: its fields are managed by us from then on."""
        namespace = manifest["metadata"].get("namespace")
        path, forced = kind.path(namespace, manifest["metadata"]["name"]), _MANAGED | {"force": "true"}
        return await self._write("PATCH", path, namespace, body=manifest, content=_APPLY, params=forced)

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Manifest, *, subresource: str | None = None
    ) -> Manifest:
        """Merge a patch into an object. A null in the patch removes the field."""
        path = kind.path(namespace, name, subresource)
        return await self._write("PATCH", path, namespace, body=patch, content=_MERGE)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> None:
        """Delete an object. With a uid or a resourceVersion another one is a `Conflict`."""
        expected = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {field: value for field, value in expected.items() if value}
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        body |= {"preconditions": preconditions}
        await self._write("DELETE", kind.path(namespace, name), namespace, body=body, params={})

    async def create_event(self, manifest: Manifest) -> Manifest:
        """Create an Event."""
        return await self.create(EVENT, manifest)

    async def _write(
        self,
        verb: str,
        path: str,
        namespace: str | None,
        *,
        body: Manifest,
        content: str = JSON,
        params: Mapping[str, str] = _MANAGED,
    ) -> Manifest:
        """Send a write, unless its namespace ends. Raises `ClusterError`."""
        self.ending.check(namespace)
        if self._budget is not None:
            self._budget.take(verb, path)
        try:
            return await self._send(verb, path, body=body, content=content, params=params)
        except ClusterError as error:
            if not error.namespace_ends:
                raise
            self.ending.add(namespace or "")
            raise NamespaceEnding(str(error), code=error.code) from error

    async def read(self, path: str) -> Manifest:
        """Return the response to a path that is no object, such as the kinds of a group."""
        return await self._send("GET", path)

    async def watch(
        self, kind: Kind, selection: ListOptions = EVERYTHING, *, version: str, silence: float
    ) -> AsyncGenerator[Manifest, None]:
        """Yield the events after a resourceVersion, until the API server ends the stream.

        A stream that breaks, or is cut within a line, raises `Unavailable`. One without an event for `silence` seconds
        raises `WatchTimeout`.
        """
        seconds = str(random.randint(240, 360))  # noqa: S311  only spreads reconnections
        params = selection.params | {"resourceVersion": version, "timeoutSeconds": seconds} | _WATCH
        async with aclosing(self._stream(kind.path(selection.namespace), params, silence)) as events:
            async for event in events:
                yield event


def _with_kind(kind: Kind, item: Manifest) -> Manifest:
    """Return an item of a list with its kind, which the API server omits in lists of built-in kinds."""
    return {"apiVersion": kind.api_version, "kind": kind.name} | item
