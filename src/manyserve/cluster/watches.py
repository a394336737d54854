"""Which kinds we watch, and where their changes go: into what is known, and to the host that they touch.

TrainedModels and InferenceServices are watched whole, what we make by our label, pods as
the hosts' Services select them, and all ServiceAccounts, which no label tells apart. HTTPRoutes may not be
served; then there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from manyserve.api.names import COMPONENT_LABEL, HOST_LABEL, MANAGED_BY, MANAGER, PREDICTOR, Key
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeHttp, Selection
from manyserve.cluster.copies import Change, Manifest, identity, key_of, nobody
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import Kind
from manyserve.cluster.known import Known, labelled_host, model_host
from manyserve.plan.observed import Reach, Sight

OURS = f"{MANAGED_BY}={MANAGER},{HOST_LABEL}"
"""The second label is of this process's API group: children in the other group are another operator's."""
SERVING_PODS = f"{HOST_LABEL},{COMPONENT_LABEL}={PREDICTOR}"
"""As the hosts' Services select them: a client's pod may well name the host in a label, too."""
HostOf = Callable[[Manifest], Key]


class Watches:
    """The informers by the name of their kind.

    Parameters
    ----------
    namespace
        The one namespace to look at; None for all.
    on_pod
        Told of every change of a pod of a host.
    """

    def __init__(self, client: KubeHttp, known: Known, namespace: str | None, on_pod: Change = nobody) -> None:
        def informer(
            kind: Kind, labels: str | None, stored: Change, host_of: HostOf, changed: Change | None = None
        ) -> Informer:
            return Informer(
                client,
                kind,
                selection=Selection(namespace, labels),
                on_store=stored,
                on_change=changed or (lambda old, new: known.changed(old, new, host_of)),
                keep=_name_of_model if kind is kinds.TRAINED_MODEL else None,
                optional=kind is kinds.HTTP_ROUTE,
            )

        accounts = Informer(
            client,
            kinds.SERVICE_ACCOUNT,
            selection=Selection(namespace),
            on_store=known.accounts.stored,
            on_change=known.account_changed,
            keep=identity,
        )
        found = (
            accounts,
            informer(kinds.INFERENCE_SERVICE, None, known.host_stored, key_of),
            informer(kinds.TRAINED_MODEL, None, known.model_stored, model_host, known.model_changed),
            informer(kinds.POD, SERVING_PODS, _both(known.pod_stored, on_pod), labelled_host),
            *(informer(kind, OURS, known.child_stored, labelled_host) for kind in kinds.CHILDREN),
        )
        self.by_kind = {each.kind.name: each for each in found}
        known.sight = lambda: Sight(self._reach(kinds.INFERENCE_SERVICE), self._reach(kinds.TRAINED_MODEL))

    def __iter__(self) -> Iterator[Informer]:
        return iter(self.by_kind.values())

    def _reach(self, kind: Kind) -> Reach:
        copy = self.by_kind[kind.name].copy
        return Reach(copy.seen, copy.newest)

    async def synced(self) -> None:
        """Wait until every kind has been listed once."""
        await asyncio.gather(*(informer.synced.wait() for informer in self))


def _name_of_model(manifest: Manifest) -> Manifest:
    """Return what identifies a model: the rest is known parsed, and thousands of them need not be kept twice."""
    return identity(manifest) | {"spec": {"inferenceService": model_host(manifest).name}}


def _both(first: Change, second: Change) -> Change:
    def both(old: Manifest | None, new: Manifest | None) -> None:
        first(old, new)
        second(old, new)

    return both
