"""Deletes the models of a host that is gone, after it has asked the API server, and never from the cache alone.

docs/decisions/0001-the-operator-deletes-a-hosts-models.md lists what is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from manyserve.api.names import Key
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.departures import Departures
from manyserve.cluster.errors import Conflict, NotFound
from manyserve.cluster.kinds import Kind
from manyserve.cluster.limiter import Limiter
from manyserve.plan.actions import Depart, ModelVersion

MODEL_DELETED = (kinds.TRAINED_MODEL.name, "delete")
"""The kind and the verb with which `on_write` is called for each deletion."""
Doubt = Callable[[str], str | None]
"""Returns why nothing is to be deleted in a namespace now, or None."""
_log = logging.getLogger(__name__)


def no_doubt(_namespace: str) -> str | None:
    """Return None."""
    return None


class ModelDeletion:
    """Carries out departures.

    Parameters
    ----------
    on_write
        Called with `MODEL_DELETED` for each deletion.
    doubt
        Asked before each burst.
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
        unserved = await self._why_unserved()
        if unserved is not None:
            self._departures.keep_models(key, action.uid)
            raise Conflict(f"the models of InferenceService {key.name} stay: {unserved}")
        if not action.models:
            return
        why_not = self._doubt(key.namespace) or await self._why_not_gone(key, action)
        if why_not is not None:
            raise Conflict(f"the models of InferenceService {key.name} are not deleted: {why_not}")
        self._departures.decide(key, action.uid)
        _log.info(
            "delete %d models of %s: InferenceService with uid %s is gone; %d are left for later",
            len(action.models),
            key,
            action.uid,
            action.left,
        )
        await self._limiter.run([partial(self._delete, key.namespace, each) for each in action.models])

    async def _why_unserved(self) -> str | None:
        """Return which CRD is not there, or on its way out: with it go all its objects, and no user deleted them."""
        for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL):
            try:
                served = await self._client.read(f"/apis/{kind.api_version}")
            except NotFound:
                served = {}
            if not _can_be_created(kind, served):
                return f"the CRD of {kind.plural} is missing or being deleted"
        return None

    async def _why_not_gone(self, key: Key, action: Depart) -> str | None:
        """Return why the host is not known to be gone, or None when the API server says that it is."""
        try:
            found = await self._client.get_metadata(kinds.INFERENCE_SERVICE, *key)
        except NotFound as error:
            return None if error.is_about(kinds.INFERENCE_SERVICE, key.name) else f"no clear answer: {error}"
        uid = found["metadata"]["uid"]
        if uid == action.uid:
            return "the API server has it"
        return None if action.decided else "the API server has another one of this name"

    async def _delete(self, namespace: str, model: ModelVersion) -> None:
        """Delete a model in the version that was seen; one that was changed since is left to the next plan."""
        kind = kinds.TRAINED_MODEL
        try:
            await self._client.delete(
                kind, namespace, model.name, uid=model.uid, resource_version=model.resource_version
            )
        except (NotFound, Conflict):
            return
        self._on_write(*MODEL_DELETED)


def _can_be_created(kind: Kind, served: Manifest) -> bool:
    found = (each for each in served.get("resources") or () if each.get("name") == kind.plural)
    return any("create" in (each.get("verbs") or ()) for each in found)
