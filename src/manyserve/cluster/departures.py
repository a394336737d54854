"""Departures: records of departed hosts that still have models, and the deletion of these models.

The records are kept in memory only, by host name. A record begins when the cache first lacks the host. It ends when a
host has the name again, or no model of the old host is left. A restart forgets all records, so that every grace period
begins anew. Models are deleted after a live check at the API server, and never from the cache alone.
docs/decisions/0001-the-operator-deletes-a-hosts-models.md lists the checks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.errors import Conflict, NotFound
from manyserve.cluster.kinds import Kind
from manyserve.cluster.limiter import Limiter
from manyserve.plan.actions import Depart, ModelVersion
from manyserve.plan.departure import follow, host_uid
from manyserve.plan.observed import Departure

ORPHAN = "orphan"
"""Finalizer of an object deleted with `--cascade=orphan`, until its dependents have lost their owner reference."""
MODEL_DELETED = (kinds.TRAINED_MODEL.name, "delete")
"""The arguments of `on_write` for each deletion."""
Doubt = Callable[[str], str | None]
"""Returns the reason against deletions in a namespace now, or None."""
_log = logging.getLogger(__name__)


class Departures:
    """Departures by the name of the host, and within a name by uid.

    Parameters
    ----------
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._present: dict[Key, str] = {}
        """Uids of the hosts that exist; hosts that do not parse count, too."""
        self._orphaning: dict[Key, str] = {}
        """Uids of the hosts that were last seen with the finalizer `orphan` while they were being deleted."""
        self._records: dict[Key, dict[str, Departure]] = {}

    def update_host(self, key: Key, new: Manifest | None) -> None:
        """Record a change of a host: `new` is None when it was deleted."""
        if new is None:
            self._present.pop(key, None)
            return
        metadata, before = new["metadata"], self._records.get(key, {})
        self._present[key] = metadata["uid"]
        self._set_records(key, follow(before, before.keys(), metadata["uid"], self._clock()))
        if metadata.get("deletionTimestamp") and ORPHAN in (metadata.get("finalizers") or ()):
            self._orphaning[key] = metadata["uid"]

    def present(self, key: Key) -> str | None:
        """Return the uid of the host of this name, or None when there is none."""
        return self._present.get(key)

    def of(self, key: Key, models: Iterable[TrainedModel]) -> Mapping[str, Departure]:
        """Return the departures of a host name, given the models that name it."""
        present, before = self._present.get(key), self._records.get(key, {})
        if present is not None and not before:
            return {}
        uids = {uid for model in models if (uid := host_uid(model)) is not None}
        records = follow(before, uids, present, self._clock())
        orphan = self._orphaning.get(key)
        if orphan in records:
            records[orphan] = replace(records[orphan], kept=True)
        self._set_records(key, records)
        return records

    def decide(self, key: Key, uid: str) -> None:
        """Record that the API server has confirmed that the host is gone, and that a burst of deletions begins."""
        before = self._records.get(key, {})
        if uid in before:
            self._records[key] = before | {uid: replace(before[uid], decided=True, last_burst=self._clock())}

    def keep_models(self, key: Key, uid: str) -> None:
        """Record that the models of a departed host stay."""
        before = self._records.get(key, {})
        if uid in before:
            self._records[key] = before | {uid: replace(before[uid], kept=True)}

    def _set_records(self, key: Key, records: dict[str, Departure]) -> None:
        if records:
            self._records[key] = records
        else:
            self._records.pop(key, None)
            if key not in self._present:
                self._orphaning.pop(key, None)


def no_doubt(_namespace: str) -> str | None:
    """Return None: deletions are allowed."""
    return None


class ModelDeletion:
    """Applies departures.

    Parameters
    ----------
    on_write
        Called with `MODEL_DELETED` for each deletion.
    doubt
        Called before each burst.
    """

    def __init__(
        self,
        client: KubeClient,
        departures: Departures,
        on_write: Callable[[str, str], None],
        limiter: Limiter,
        doubt: Doubt = no_doubt,
    ) -> None:
        self._client = client
        self._departures = departures
        self._on_write = on_write
        self._limiter = limiter
        self._doubt = doubt

    async def apply(self, key: Key, action: Depart) -> None:
        """Delete the models of a departure, if the host is gone.

        Raises
        ------
        Conflict
            When nothing is deleted and the host is to be planned again.
        """
        crd_problem = await self._crd_problem()
        if crd_problem is not None:
            self._departures.keep_models(key, action.uid)
            raise Conflict(f"the models of InferenceService {key.name} stay: {crd_problem}")
        if not action.models:
            return
        problem = self._doubt(key.namespace) or await self._presence_problem(key, action)
        if problem is not None:
            raise Conflict(f"the models of InferenceService {key.name} are not deleted: {problem}")
        self._departures.decide(key, action.uid)
        _log.info(
            "delete %d models of %s: InferenceService with uid %s is gone; %d are left for later",
            len(action.models),
            key,
            action.uid,
            action.left,
        )
        await self._limiter.run([partial(self._delete, key.namespace, each) for each in action.models])

    async def _crd_problem(self) -> str | None:
        """Return which CRD is missing or being deleted. Its objects go with it, and no user deleted them."""
        for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL):
            try:
                served = await self._client.read(f"/apis/{kind.api_version}")
            except NotFound:
                served = {}
            if not _can_be_created(kind, served):
                return f"the CRD of {kind.plural} is missing or being deleted"
        return None

    async def _presence_problem(self, key: Key, action: Depart) -> str | None:
        """Return the reason why the host may exist, or None when the API server says that it does not."""
        try:
            host = await self._client.get_metadata(kinds.INFERENCE_SERVICE, *key)
        except NotFound as error:
            return None if error.is_about(kinds.INFERENCE_SERVICE, key.name) else f"no clear answer: {error}"
        uid = host["metadata"]["uid"]
        if uid == action.uid:
            return "the API server has it"
        return None if action.decided else "the API server has another one of this name"

    async def _delete(self, namespace: str, model: ModelVersion) -> None:
        """Delete a model in the version of the plan. One that changed since then is left to the next plan."""
        kind = kinds.TRAINED_MODEL
        try:
            await self._client.delete(
                kind, namespace, model.name, uid=model.uid, resource_version=model.resource_version
            )
        except (NotFound, Conflict):
            return
        self._on_write(*MODEL_DELETED)


def _can_be_created(kind: Kind, served: Manifest) -> bool:
    resources = (resource for resource in served.get("resources") or () if resource.get("name") == kind.plural)
    return any("create" in (resource.get("verbs") or ()) for resource in resources)
