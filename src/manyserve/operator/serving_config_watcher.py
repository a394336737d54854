"""The serving configuration of the operator: reconciles all hosts on a change, reports an invalid ConfigMap.

While there has never been a valid configuration nothing is reconciled. Defaults would take every model off its host.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from manyserve.api.servingconfig import NAME, ServingConfig
from manyserve.cluster.client import KubeClient
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.serving_config import ServingConfigInformer
from manyserve.cluster.state import ClusterState
from manyserve.operator import metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigEvent:
    """A Warning event on the ConfigMap."""

    uid: str
    message: str
    kind: str = "ConfigMap"
    name: str = NAME
    type: str = "Warning"
    reason: str = "ConfigNotUsable"
    once: bool = False


class ServingConfigWatcher:
    """Keeps `known.config` equal to the last valid configuration.

    Parameters
    ----------
    namespace
        The operator's own.
    """

    def __init__(self, client: KubeClient, known: ClusterState, recorder: EventRecorder, namespace: str) -> None:
        self._known = known
        self._recorder = recorder
        self._namespace = namespace
        self._refused: ConfigEvent | None = None
        self._source = ServingConfigInformer(client, namespace, self._use, self._refuse)
        self.informer = self._source.informer
        self.ready = self._source.ready
        self.changed = self._source.changed

    def tell(self) -> None:
        """Record the event of an invalid ConfigMap again, for a new leader."""
        if self._refused:
            self._recorder.record(self._namespace, self._refused)

    def _use(self, config: ServingConfig) -> None:
        metrics.CONFIG_BROKEN.set(0)
        self._refused = None
        if config != self._known.config:
            self._known.config = config
            self._known.enqueue_all()

    def _refuse(self, uid: str, why: str) -> None:
        valid = self._known.config is not None
        stays = "the last valid configuration stays in force" if valid else "nothing is reconciled until it is fixed"
        _log.error("%s; %s", why, stays)
        metrics.CONFIG_ERRORS.inc()
        metrics.CONFIG_BROKEN.set(1)
        self._refused = ConfigEvent(uid, f"{why}; {stays}")
        self.tell()
