"""Set of informers: which kinds are watched, and how their changes reach the cluster state and enqueue hosts.

TrainedModels and InferenceServices are watched whole, children by our label, and pods and ReplicaSets as the hosts'
Services select pods. `cluster/reduced.py` has the parts that are kept. All ServiceAccounts are watched, since no label
distinguishes them, and all HorizontalPodAutoscalers, since one of a user may scale a host. If HTTPRoutes are not
served, there are none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial

from manyserve.api.names import COMPONENT_LABEL, HOST_LABEL, MANAGED_BY, MANAGER, PREDICTOR, ROUTER, Key
from manyserve.api.scope import Scope
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import OutOfScope
from manyserve.cluster.host_pods import labelled_host
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import Kind
from manyserve.cluster.reduced import identity_of, kept_autoscaler, kept_child, kept_pod
from manyserve.cluster.scope import Filter, LiveScope
from manyserve.cluster.state import ClusterState, model_host
from manyserve.cluster.store import Change, Manifest, identity, key_of
from manyserve.plan.observed import CacheVersion, CacheVersions

OURS = f"{MANAGED_BY}={MANAGER},{HOST_LABEL}"
"""The second label has this process's API group: children in the other group belong to another operator."""
CHILDREN_BY_LABEL = tuple(kind for kind in kinds.CHILDREN if kind is not kinds.AUTOSCALER)
"""Kinds of children of which no other objects are read. All HorizontalPodAutoscalers are: others scale hosts, too."""
SERVING_PODS = f"{HOST_LABEL},{COMPONENT_LABEL} in ({PREDICTOR},{ROUTER})"
"""The selectors of the hosts' Services. The host label alone is not enough: a client's pod may have it, too."""
_log = logging.getLogger(__name__)
HostOf = Callable[[Manifest], Key]
KEPT = {
    **dict.fromkeys((kind.name for kind in CHILDREN_BY_LABEL), kept_child),
    kinds.AUTOSCALER.name: kept_autoscaler,
    kinds.POD.name: kept_pod,
    kinds.REPLICA_SET.name: identity_of,
}
"""The projections of the stores of these kinds."""


class Informers:
    """One informer for each kind, or one for each kind and namespace of a list.

    A namespace of the list may be refused, for example when it was deleted with the Role in it. It then is out of scope
    until all of its kinds have been listed, and delays no other namespace. With a selector the store of TrainedModels
    keeps whole objects, so that a namespace can enter without a request: 2.3 KB more for each (measured).

    Parameters
    ----------
    scope
        The namespaces in which objects are managed.
    network_policies
        Whether NetworkPolicies are among the children.
    """

    def __init__(
        self, client: KubeClient, state: ClusterState, scope: Scope, *, network_policies: bool = False
    ) -> None:
        self._client = client
        self._state = state
        self._scope = scope
        self._children = tuple(
            kind for kind in CHILDREN_BY_LABEL if network_policies or kind is not kinds.NETWORK_POLICY
        )
        self._live = LiveScope(client, scope, self._entered_or_left)
        self._filters: list[tuple[Informer, Filter]] = []
        self._informers = {
            (informer.kind.name, namespace): informer
            for namespace in scope.namespaces or (None,)
            for informer in self._of_namespace(namespace)
        }
        state.cache_versions = self._cache_versions
        state.in_scope = self.in_scope

    def __iter__(self) -> Iterator[Informer]:
        yield from self._live.informers
        yield from self._informers.values()

    def in_scope(self, namespace: str) -> bool:
        """Return whether the objects of a namespace are managed and all of them have been listed."""
        if not self._scope.namespaces:
            return self._live.contains(namespace)
        return self._live.contains(namespace) and all(
            informer.synced.is_set() for (_, other), informer in self._informers.items() if other == namespace
        )

    def scope_problem(self) -> str | None:
        """Return the reason, when every namespace of the list was refused, or None."""
        names = self._scope.namespaces
        refused = names and not any(map(self.in_scope, names))
        return f"no namespace of the scope can be listed: {', '.join(names)}" if refused else None

    def informer_of(self, kind: str, namespace: str) -> Informer:
        """Return the informer of a kind for a namespace. Raises `OutOfScope`, so that nothing is written."""
        if not self._live.contains(namespace):
            raise OutOfScope(f"not written: namespace {namespace} is out of scope")
        return self._informers[kind, namespace if self._scope.namespaces else None]

    def count(self, kind: str) -> int:
        """Return how many objects of a kind are cached."""
        return sum(len(informer.objects) for informer in self if informer.kind.name == kind)

    def count_out_of_scope(self, kind: str) -> int:
        """Return how many cached objects of a kind are in namespaces that the selector does not match."""
        return sum(len(scope_filter) for informer, scope_filter in self._filters if informer.kind.name == kind)

    async def synced(self) -> None:
        """Wait until every kind has been listed once, or was refused."""
        await asyncio.gather(*(informer.settled.wait() for informer in self))

    def _of_namespace(self, namespace: str | None) -> tuple[Informer, ...]:
        """Return the informers of one namespace, or of all namespaces."""
        state, informer_for = self._state, partial(self._informer, namespace)
        return (
            Informer(
                self._client,
                kinds.SERVICE_ACCOUNT,
                selection=ListOptions(namespace),
                on_store=state.accounts.update,
                on_change=state.account_changed,
                on_sync=partial(self._listed, namespace),
                keep=identity,
                refusable=namespace is not None,
            ),
            informer_for(kinds.INFERENCE_SERVICE, None, state.update_host, key_of),
            informer_for(kinds.TRAINED_MODEL, None, state.update_model, model_host, state.model_changed),
            informer_for(kinds.POD, SERVING_PODS, state.update_pod, labelled_host),
            informer_for(
                kinds.REPLICA_SET, SERVING_PODS, state.update_replica_set, labelled_host, state.replica_set_changed
            ),
            informer_for(kinds.AUTOSCALER, None, state.update_autoscaler, labelled_host, state.autoscaler_changed),
            *(informer_for(kind, OURS, state.update_child, labelled_host) for kind in self._children),
        )

    def _informer(
        self,
        namespace: str | None,
        kind: Kind,
        labels: str | None,
        stored: Change,
        host_of: HostOf,
        changed: Change | None = None,
    ) -> Informer:
        """Return an informer of objects that belong to hosts. With a selector it has a filter."""
        changed = changed or partial(self._state.changed, host=host_of)
        by_labels = self._scope.selector is not None
        scope_filter = Filter(self._live.contains, stored, changed)
        informer = Informer(
            self._client,
            kind,
            selection=ListOptions(namespace, labels),
            on_store=scope_filter.stored if by_labels else stored,
            on_change=scope_filter.changed if by_labels else changed,
            on_sync=partial(self._listed, namespace),
            keep=_model_identity if kind is kinds.TRAINED_MODEL and not by_labels else KEPT.get(kind.name),
            refusable=namespace is not None,
            optional=kind is kinds.HTTP_ROUTE,
        )
        if by_labels:
            self._filters.append((informer, scope_filter))
        return informer

    def _entered_or_left(self, namespace: str, inside: bool) -> None:  # noqa: FBT001  the only argument of its kind
        """Add all objects of a namespace to the cluster state, or remove them, in one step."""
        _log.info("namespace %s is %s scope", namespace, "in" if inside else "out of")
        for informer, scope_filter in self._filters:
            (scope_filter.enter if inside else scope_filter.leave)(namespace, informer.objects)

    def _listed(self, namespace: str | None) -> None:
        """Enqueue the hosts of a namespace when all of its kinds have been listed."""
        if namespace is not None and self.in_scope(namespace):
            self._state.enqueue_namespace(namespace)

    def _cache_versions(self, namespace: str) -> CacheVersions:
        return CacheVersions(
            self._cache_version(kinds.INFERENCE_SERVICE, namespace), self._cache_version(kinds.TRAINED_MODEL, namespace)
        )

    def _cache_version(self, kind: Kind, namespace: str) -> CacheVersion:
        store = self.informer_of(kind.name, namespace).store
        return CacheVersion(store.observed_version, store.newest_version)


def _model_identity(manifest: Manifest) -> Manifest:
    """Return the identity of a model. The cluster state has its parsed spec, so the store keeps no second one."""
    return identity(manifest) | {"spec": {"inferenceService": model_host(manifest).name}}
