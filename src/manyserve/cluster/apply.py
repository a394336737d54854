"""Carries out a plan, in the order of its fields.

The children first, then `models.json`, and only then what is told to users, so that no status speaks of a
config that was not written. A child that is refused for good (forbidden, invalid, over quota, its name taken
by a stranger's object) is remembered with the API's own sentence for the next plan, and keeps no other from
being written. A conflict on `models.json` means that the plan was made from an old picture: the rest of it
is dropped. Whatever is written goes into our copies at once.

What is told breaks off when it is the host's turn again, or thousands of statuses would keep `models.json` from
those who came meanwhile; the next plan has the rest, and each tells a few at least. What can wait comes last: how
far a model is that does not answer yet.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from manyserve.api.names import CONFIG_HASH, Key
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.deletion import Doubt, ModelDeletion, no_doubt
from manyserve.cluster.errors import (
    ChildRejected,
    ClusterError,
    Conflict,
    Forbidden,
    ForeignObject,
    Invalid,
    NotFound,
    NotTakenOver,
    Unavailable,
)
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import Kind
from manyserve.cluster.lanes import Lanes, after
from manyserve.cluster.manners import Manners
from manyserve.cluster.ownership import ensure_not_foreign
from manyserve.cluster.slots import Slots
from manyserve.cluster.state import ClusterState, child_of
from manyserve.cluster.store import key_of
from manyserve.plan.actions import Apply, ConfigRefresh, Delete, Plan, SetOwnerReferences, SetStatus, WriteConfig
from manyserve.plan.observed import Child

Action = TypeVar("Action")

SOME = 2
"""Of what is told, even if it is the host's turn again."""
UNHURRIED = Manners()
_REFUSALS = (Forbidden, Invalid, ForeignObject, NotFound)
_log = logging.getLogger(__name__)


class Applier:
    """Carries out plans with one client.

    Parameters
    ----------
    informer_of
        Returns the informer of a kind for a namespace. Raises `OutOfScope`.
    on_write
        Told of each write that succeeded: the kind, and the verb.
    doubt
        Returns why no model is to be deleted now, or None.
    """

    def __init__(
        self,
        client: KubeClient,
        known: ClusterState,
        informer_of: Callable[[str, str], Informer],
        recorder: EventRecorder,
        on_write: Callable[[str, str], None],
        doubt: Doubt = no_doubt,
    ) -> None:
        self._client = client
        self._known = known
        self._informer_of = informer_of
        self._recorder = recorder
        self._on_write = on_write
        self._urgent = Slots()
        self._lanes = Lanes(self._urgent)
        self._deletion = ModelDeletion(client, known.departures, on_write, self._urgent, doubt)

    async def carry_out(self, key: Key, todo: Plan, manners: Manners = UNHURRIED) -> None:
        """Do all that the plan says, but of what can wait only what the manners allow.

        Raises
        ------
        ClusterError
            When it is to be planned again.
        """
        refused: dict[Child, str] = {}
        foreign: set[Child] = set()
        delete, apply = partial(self._delete, key), partial(self._apply, foreign)
        applies = (partial(self._child, child_of(each.manifest), refused, apply, each) for each in todo.applies)
        deletes = (partial(self._child, each.child, refused, delete, each) for each in todo.deletes)
        await self._urgent.do([*applies, *deletes])
        if todo.config:
            write = partial(self._child, child_of(todo.config.manifest), refused, self._write_config, todo.config)
            await self._urgent.do([write])
        failed = await self._tell(key, todo, manners)
        self._remember_foreign(key, frozenset(foreign))
        self._remember(key, refused)
        if failed:
            raise failed[0]

    async def _tell(self, key: Key, todo: Plan, manners: Manners) -> list[ClusterError]:
        """Write what is not a child. One model's refused owner or pod keeps no other's status from being told."""
        set_status, hurry = partial(self._set_status, key), manners.hurry
        stages = (
            [partial(set_status, each) for each in todo.statuses if not each.can_wait],
            [partial(set_status, each) for each in todo.statuses if each.can_wait],
        )
        nudges = (partial(self._nudge, key, each) for each in todo.config_refreshes)
        first = self._urgent.do([*nudges, *(partial(self._set_owners, key, each) for each in todo.owner_references)])
        departures = (self._deletion.apply(key, each) for each in todo.departures)
        works = (self._lanes.do(writes, after(SOME, hurry), manners) for writes in stages)
        failed: list[ClusterError] = []
        for work in itertools.chain([first], departures, works):
            try:
                await work
            except ClusterError as error:
                failed.append(error)
        for event in todo.events:
            self._recorder.record(key.namespace, event)
            if event.once:
                self._known.unmanaged.announced.add(event.uid)
        return failed

    def _remember(self, key: Key, refused: dict[Child, str]) -> None:
        """Keep what was refused for the next plan; when it has healed, have the host told so at once."""
        if self._known.failures.pop(key, None) and not refused:
            self._known.enqueue(key)
        if refused:
            self._known.failures[key] = refused
            raise ChildRejected("; ".join(f"{child.kind} {child.name}: {said}" for child, said in refused.items()))

    def _remember_foreign(self, key: Key, foreign: frozenset[Child]) -> None:
        """Keep for the next plan which children are another controller's still, and make that plan when they change."""
        if foreign != self._known.foreign.pop(key, frozenset()):
            self._known.enqueue(key)
        if foreign:
            self._known.foreign[key] = foreign

    async def _child(
        self, child: Child, refused: dict[Child, str], write: Callable[[Action], Awaitable[None]], action: Action
    ) -> None:
        """Write a child, or note what the API server says against it."""
        try:
            await write(action)
        except _REFUSALS as error:
            refused[child] = str(error)
        except Unavailable as error:
            if error.code != 500:
                raise
            refused[child] = str(error)  # the API server is there: an admission webhook of somebody's is not

    async def _apply(self, foreign: set[Child], action: Apply) -> None:
        kind = kinds.KINDS[action.manifest["kind"]]
        key = key_of(action.manifest)
        copies = self._informer_of(kind.name, key.namespace)
        try:
            await ensure_not_foreign(self._client, copies, action.manifest, taking_over=action.take_over)
        except NotTakenOver as waiting:  # the Deployment's next change plans again
            _log.info("leave %s %s: %s", kind.name, key, waiting)
            foreign.add(child_of(action.manifest))
            return
        _log.info("apply %s %s: %s", kind.name, key, action.reason)
        with copies.store.own_write(key):
            self._wrote(kind, "apply", await self._client.apply(kind, action.manifest))

    async def _delete(self, key: Key, action: Delete) -> None:
        kind = kinds.KINDS[action.child.kind]
        self._informer_of(kind.name, key.namespace)  # only in scope
        _log.info("delete %s %s/%s: %s", kind.name, key.namespace, action.child.name, action.reason)
        try:
            await self._client.delete(kind, key.namespace, action.child.name, uid=action.uid)
        except (NotFound, Conflict):  # it is gone, or another one has its name
            return
        self._on_write(kind.name, "delete")

    async def _write_config(self, action: WriteConfig) -> None:
        key = key_of(action.manifest)
        copies = self._informer_of(kinds.CONFIG_MAP.name, key.namespace)
        with copies.store.own_write(key):
            if action.resource_version is None:
                await ensure_not_foreign(self._client, copies, action.manifest)
                stored = await self._client.create(kinds.CONFIG_MAP, action.manifest)
            else:
                metadata = action.manifest["metadata"] | {"resourceVersion": action.resource_version}
                stored = await self._client.replace(kinds.CONFIG_MAP, action.manifest | {"metadata": metadata})
            self._wrote(kinds.CONFIG_MAP, "write", stored)

    async def _nudge(self, key: Key, action: ConfigRefresh) -> None:
        metadata = {"uid": action.uid, "annotations": {CONFIG_HASH: action.config_hash}}
        await self._patch(kinds.POD, Key(key.namespace, action.pod), {"metadata": metadata})

    async def _set_owners(self, key: Key, action: SetOwnerReferences) -> None:
        """Write a model's owners, if it has those that we know of; the status that was just told does not matter."""
        model = self._known.models.get(key, {}).get(action.model)
        if model is None or tuple(model.metadata.owner_references) != action.before:
            return  # somebody changed it since, and that has touched the host
        version = model.metadata.resource_version
        metadata = {"resourceVersion": version, "ownerReferences": list(action.owners) or None}
        await self._patch(kinds.TRAINED_MODEL, Key(key.namespace, action.model), {"metadata": metadata})

    async def _set_status(self, key: Key, action: SetStatus) -> None:
        """Write a status, if the object is still the one that we know: a uid alone is no precondition there."""
        kind, subject = kinds.KINDS[action.kind], Key(key.namespace, action.name)
        known = self._informer_of(kind.name, key.namespace).objects.get(subject)
        if known is not None and known["metadata"]["uid"] == action.uid:
            metadata = {"resourceVersion": known["metadata"]["resourceVersion"]}
            await self._patch(kind, subject, {"metadata": metadata, "status": action.patch}, subresource="status")

    async def _patch(self, kind: Kind, key: Key, patch: Manifest, subresource: str | None = None) -> None:
        copies = self._informer_of(kind.name, key.namespace)
        with copies.store.own_write(key), suppress(NotFound):  # deleted since: the watch will tell
            stored = await self._client.merge_patch(kind, key.namespace, key.name, patch, subresource=subresource)
            self._wrote(kind, subresource or "patch", stored)

    def _wrote(self, kind: Kind, verb: str, stored: Manifest) -> None:
        self._informer_of(kind.name, key_of(stored).namespace).record_write(stored)
        self._on_write(kind.name, verb)
