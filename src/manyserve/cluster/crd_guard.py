"""The CRD guard: while a published CRD of ours prunes unknown fields, nothing is written.

The API server drops the fields that a pruning CRD does not know. A patch of a status stores the whole object, so even
that patch loses them. The CRDs of KServe, and those of earlier releases, prune fields of other releases.
The guard reads the schemas that the API server publishes as OpenAPI v3; every authenticated user may read them. A poll
reads the index, with a hash for each version of a group, and the document only when its hash has changed.
A poll without a response leaves the last state. Before the first response nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from manyserve.api.names import GROUP
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError, NotFound, Pruning
from manyserve.cluster.kinds import INFERENCE_SERVICE, TRAINED_MODEL, Kind

POLL_SECONDS = 5.0
FIRST_POLL_SECONDS = 0.5
"""Between polls until the first response: a CRD is published about a second after it was created."""
GUARDED = (INFERENCE_SERVICE, TRAINED_MODEL)
"""Kinds with specs that must preserve unknown fields everywhere."""
INDEX = "/openapi/v3"
INSTALL = f"manyserve crds --group {GROUP} | kubectl apply --server-side --force-conflicts -f -"
_PRESERVES = "x-kubernetes-preserve-unknown-fields"
_KIND = "x-kubernetes-group-version-kind"
_log = logging.getLogger(__name__)

Schema = Mapping[str, Any]
Work = Callable[[], Coroutine[Any, Any, None]]


class CrdGuard:
    """Gate that refuses writes while a published CRD prunes. `run` keeps it up to date."""

    def __init__(self) -> None:
        self._problems: dict[Kind, str | None] = {}
        """The problem of each kind that was checked, or None."""
        self._hashes: dict[Kind, str] = {}
        self._poll_error = "no poll has finished yet"
        self._logged: str | None = None
        self._clear = asyncio.Event()
        self._shut = asyncio.Event()
        self._shut.set()

    @property
    def problem(self) -> str | None:
        """The reason in a sentence why nothing is written, or None."""
        unknown = [_crd(kind) for kind in GUARDED if kind not in self._problems]
        if unknown:
            return f"nothing is written before the CRD {unknown[0]} has been checked: {self._poll_error}"
        return "; ".join(problem for problem in self._problems.values() if problem) or None

    def write_timeout(self) -> float:
        """Return infinity, since the guard sets no timeout. Raises `Pruning`."""
        problem = self.problem
        if problem:
            raise Pruning(f"not written: {problem}")
        return math.inf

    async def run(self, client: KubeClient, pause: float = POLL_SECONDS) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self._poll(client)
            except ClusterError as error:
                self._poll_error = str(error)
            self._update()
            await asyncio.sleep(pause if len(self._problems) == len(GUARDED) else min(pause, FIRST_POLL_SECONDS))

    async def while_clear(self, work: Work) -> None:
        """Run `work` while there is no problem. A problem cancels it, and it begins anew afterwards."""
        while True:
            await self._clear.wait()
            running, shut = asyncio.create_task(work()), asyncio.create_task(self._shut.wait())
            try:
                await asyncio.wait((running, shut), return_when=asyncio.FIRST_COMPLETED)
            finally:
                running.cancel()
                shut.cancel()
                await asyncio.gather(running, shut, return_exceptions=True)
            if not running.cancelled():
                return running.result()

    async def _poll(self, client: KubeClient) -> None:
        published = (await client.read(INDEX)).get("paths") or {}
        for kind in GUARDED:
            path = f"apis/{kind.api_version}"
            current = (published.get(path) or {}).get("serverRelativeURL")
            if current is None:
                raise NotFound(f"{_crd(kind)} is not published at {INDEX}")
            if current != self._hashes.get(kind):
                self._problems[kind] = pruning_problem(await client.read(f"{INDEX}/{path}"), kind)
                self._hashes[kind] = current

    def _update(self) -> None:
        """Set or clear the two events, and log each change once."""
        problem = self.problem
        (self._shut if problem else self._clear).set()
        (self._clear if problem else self._shut).clear()
        if problem == self._logged:
            return
        if problem:
            _log.error("%s", problem)
        else:
            _log.info("the published CRDs preserve unknown fields: writes may begin")
        self._logged = problem


def pruning_problem(document: Schema, kind: Kind) -> str | None:
    """Return where the CRD of a kind prunes, in a sentence, by the OpenAPI v3 document of its group and version.

    Raises
    ------
    NotFound
        When the document does not have the kind, for example while its CRD is replaced.
    """
    schema = _schema(document, kind)
    spec = (schema.get("properties") or {}).get("spec")
    path = next(_pruned_paths(schema if spec is None else spec, "spec"), None)
    if path is None:
        return None
    return (
        f"the CRD {_crd(kind)} prunes unknown fields ({path}): nothing is written; "
        f"when it is KServe's, see docs/migrating-from-kserve.md, else install the CRDs of this release: {INSTALL}"
    )


def _schema(document: Schema, kind: Kind) -> Schema:
    group, _, version = kind.api_version.partition("/")
    wanted = {"group": group, "version": version, "kind": kind.name}
    for schema in ((document.get("components") or {}).get("schemas") or {}).values():
        if wanted in (schema.get(_KIND) or ()):
            typed: Schema = schema
            return typed
    raise NotFound(f"{_crd(kind)} is not in its OpenAPI document")


def _pruned_paths(schema: Schema, path: str) -> Iterator[str]:
    """Yield the paths of the objects that lose unknown fields, outer objects first.

    A map of strings loses none.
    """
    values, items = schema.get("additionalProperties"), schema.get("items")
    if schema.get("type") == "object" and not values and schema.get(_PRESERVES) is not True:
        yield path
    for name, inner in (schema.get("properties") or {}).items():
        yield from _pruned_paths(inner, f"{path}.{name}")
    for inner in (values, items):
        if isinstance(inner, Mapping):
            yield from _pruned_paths(inner, f"{path}[]")


def _crd(kind: Kind) -> str:
    return f"{kind.plural}.{kind.api_version.partition('/')[0]}"
