"""Applies a plan in the order of its fields: children, `models.json`, pods and owners, departures, then statuses.

No status speaks of a `models.json` that was not written. A refused child holds up no other, and the next plan gets the
API server's sentence. A conflict on `models.json` drops the rest of a plan: its snapshot was old.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from functools import partial

from manyserve.api.names import CONFIG_HASH, Key
from manyserve.cluster import errors, kinds
from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.departures import Doubt, ModelDeletion, no_doubt
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.informer import InformerOf, OnWrite
from manyserve.cluster.kinds import Kind
from manyserve.cluster.limiter import Limiter, Write
from manyserve.cluster.ownership import apply_owned, ensure_not_foreign
from manyserve.cluster.state import ClusterState, child_of
from manyserve.cluster.status_writer import StatusWriter
from manyserve.cluster.store import key_of
from manyserve.plan.actions import Apply, ConfigRefresh, Delete, Plan, SetOwnerReferences, WriteConfig
from manyserve.plan.observed import Child

_log = logging.getLogger(__name__)


class Applier:
    """Applies plans."""

    def __init__(
        self,
        client: KubeClient,
        state: ClusterState,
        informer_of: InformerOf,
        limiter: Limiter,
        statuses: StatusWriter,
        on_write: OnWrite,
        doubt: Doubt = no_doubt,
    ) -> None:
        self._client = client
        self._state = state
        self._informer_of = informer_of
        self._limiter = limiter
        self._statuses = statuses
        self._on_write = on_write
        self._deletion = ModelDeletion(client, state.departures, on_write, limiter, doubt)

    async def apply(self, key: Key, todo: Plan, *, defer_config: bool = False) -> None:
        """Write what the plan says, and hand its statuses to their writer. Raises `ClusterError`: plan again.

        With `defer_config`, `models.json` stays as it is, and so do pod annotations and progress, which follow it.
        """
        refused: dict[Child, str] = {}
        foreign: set[Child] = set()
        children = [(child_of(each.manifest), partial(self._apply, foreign, each)) for each in todo.applies]
        children += [(each.child, partial(self._delete, key, each)) for each in todo.deletes]
        configs = () if defer_config else todo.configs
        for stage in (children, [(child_of(each.manifest), partial(self._write_config, each)) for each in configs]):
            await self._limiter.run(partial(self._child, refused, child, write) for child, write in stage)
        failed = await self._write_others(key, todo, () if defer_config else todo.config_refreshes)
        self._statuses.set(key, todo.statuses, todo.events, final_only=defer_config)
        self._state.unmanaged.announced.update(event.uid for event in todo.events if event.once)
        self._state.applied(key, refused, frozenset(foreign))
        if refused:
            raise errors.ChildRejected("; ".join(f"{child.kind} {child.name}: {why}" for child, why in refused.items()))
        if failed:
            raise failed[0]

    async def _write_others(self, key: Key, todo: Plan, nudges: Iterable[ConfigRefresh]) -> list[ClusterError]:
        """Annotate pods, remove owners and delete models; return the errors: none of them holds up a status."""
        pods = [partial(self._nudge, key, each) for each in nudges]
        owners = [partial(self._set_owners, key, each) for each in todo.owner_references]
        departures = (self._deletion.apply(key, each) for each in todo.departures)
        failed: list[ClusterError] = []
        for work in itertools.chain([self._limiter.run([*pods, *owners])], departures):
            try:
                await work
            except ClusterError as error:
                failed.append(error)
        return failed

    async def _child(self, refused: dict[Child, str], child: Child, write: Write) -> None:
        """Write a child, or note why the API server refuses it."""
        try:
            await write()
        except ClusterError as error:
            if not errors.is_refusal(error):
                raise
            refused[child] = str(error)

    async def _apply(self, foreign: set[Child], action: Apply) -> None:
        kind, key = kinds.KINDS[action.manifest["kind"]], key_of(action.manifest)
        informer = self._informer_of(kind.name, key.namespace)
        try:
            await ensure_not_foreign(self._client, informer, action.manifest, taking_over=action.take_over)
        except errors.NotTakenOver as waiting:  # the Deployment's next change plans again
            _log.info("leave %s %s: %s", kind.name, key, waiting)
            foreign.add(child_of(action.manifest))
            return
        _log.info("apply %s %s: %s", kind.name, key, action.reason)
        await apply_owned(self._client, informer, action)
        self._on_write(kind.name, "apply")

    async def _delete(self, key: Key, action: Delete) -> None:
        kind = kinds.KINDS[action.child.kind]
        self._informer_of(kind.name, key.namespace)  # only in scope
        _log.info("delete %s %s/%s: %s", kind.name, key.namespace, action.child.name, action.reason)
        try:
            await self._client.delete(kind, key.namespace, action.child.name, uid=action.uid)
        except (errors.NotFound, errors.Conflict):  # it is gone, or another one has its name
            return
        self._on_write(kind.name, "delete")

    async def _write_config(self, action: WriteConfig) -> None:
        kind, key = kinds.CONFIG_MAP, key_of(action.manifest)
        informer = self._informer_of(kind.name, key.namespace)
        if action.resource_version is None:
            await ensure_not_foreign(self._client, informer, action.manifest)
            await informer.write(key, self._client.create(kind, action.manifest))
        else:
            metadata = action.manifest["metadata"] | {"resourceVersion": action.resource_version}
            await informer.write(key, self._client.replace(kind, action.manifest | {"metadata": metadata}))
        self._on_write(kind.name, "write")

    async def _nudge(self, key: Key, action: ConfigRefresh) -> None:
        metadata = {"uid": action.uid, "annotations": {CONFIG_HASH: action.config_hash}}
        await self._patch(kinds.POD, Key(key.namespace, action.pod), {"metadata": metadata})

    async def _set_owners(self, key: Key, action: SetOwnerReferences) -> None:
        """Write a model's owners if they are still those that were planned from."""
        model = self._state.models.get(key, {}).get(action.model)
        if model is None or tuple(model.metadata.owner_references) != action.before:
            return  # the change has enqueued the host
        version = model.metadata.resource_version
        metadata = {"resourceVersion": version, "ownerReferences": list(action.owners) or None}
        await self._patch(kinds.TRAINED_MODEL, Key(key.namespace, action.model), {"metadata": metadata})

    async def _patch(self, kind: Kind, key: Key, patch: Manifest) -> None:
        if await self._informer_of(kind.name, key.namespace).merge_patch(key, patch):
            self._on_write(kind.name, "patch")
