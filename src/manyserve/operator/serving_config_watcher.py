"""Watcher of the serving configuration: a change enqueues all hosts, an invalid ConfigMap is reported by an event.

Without any valid configuration yet, nothing is reconciled: the defaults would take every model off its host.
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
    """Keeps `config` of the cluster state equal to the last valid configuration.

    Parameters
    ----------
    namespace
        The operator's own.
    """

    def __init__(self, client: KubeClient, state: ClusterState, recorder: EventRecorder, namespace: str) -> None:
        self._state = state
        self._recorder = recorder
        self._namespace = namespace
        self._problem_event: ConfigEvent | None = None
        self._source = ServingConfigInformer(client, namespace, self._on_valid, self._on_invalid)
        self.informer = self._source.informer
        self.ready = self._source.ready
        self.changed = self._source.changed

    def record_problem(self) -> None:
        """Record the event of an invalid ConfigMap again, for a new leader."""
        if self._problem_event:
            self._recorder.record(self._namespace, self._problem_event)

    def _on_valid(self, config: ServingConfig) -> None:
        metrics.CONFIG_BROKEN.set(0)
        self._problem_event = None
        if config != self._state.config:
            self._state.config = config
            self._state.enqueue_all()

    def _on_invalid(self, uid: str, reason: str) -> None:
        valid = self._state.config is not None
        effect = "the last valid configuration stays in force" if valid else "nothing is reconciled until it is fixed"
        _log.error("%s; %s", reason, effect)
        metrics.CONFIG_ERRORS.inc()
        metrics.CONFIG_BROKEN.set(1)
        self._problem_event = ConfigEvent(uid, f"{reason}; {effect}")
        self.record_problem()
