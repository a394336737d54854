"""Deletion of the models of a departed host: after a live check at the API server, and never from the cache alone.

docs/decisions/0001-the-operator-deletes-a-hosts-models.md lists the checks.
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
"""The arguments of `on_write` for each deletion."""
Doubt = Callable[[str], str | None]
"""Returns the reason against deletions in a namespace now, or None."""
_log = logging.getLogger(__name__)


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
