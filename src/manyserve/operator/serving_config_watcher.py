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

POLICIES_IGNORED = (
    f"{NAME}: hosts.networkPolicy has no effect: the operator needs MANYSERVE_NETWORK_POLICIES=true and the rights on "
    "NetworkPolicies, which the chart gives when its value config.hosts.networkPolicy.enabled is true or false"
)
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
    network_policies
        Whether the operator has the rights on NetworkPolicies. Without them it makes none.
    """

    def __init__(
        self,
        client: KubeClient,
        state: ClusterState,
        recorder: EventRecorder,
        namespace: str,
        *,
        network_policies: bool = False,
    ) -> None:
        self._state = state
        self._network_policies = network_policies
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
        config = self._permitted(config)
        if config != self._state.config:
            self._state.config = config
            self._state.enqueue_all()

    def _permitted(self, config: ServingConfig) -> ServingConfig:
        """Return the configuration, without NetworkPolicies if the operator has no rights on them."""
        if self._network_policies or config.hosts.network_policy is None:
            return config
        _log.warning("%s", POLICIES_IGNORED)
        return config.model_copy(update={"hosts": config.hosts.model_copy(update={"network_policy": None})})

    def _on_invalid(self, uid: str, reason: str) -> None:
        valid = self._state.config is not None
        effect = "the last valid configuration stays in force" if valid else "nothing is reconciled until it is fixed"
        _log.error("%s; %s", reason, effect)
        metrics.CONFIG_ERRORS.inc()
        metrics.CONFIG_BROKEN.set(1)
        self._problem_event = ConfigEvent(uid, f"{reason}; {effect}")
        self.record_problem()
