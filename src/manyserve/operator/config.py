"""`inferenceservice-config`, watched. A broken edit, or its deletion, keeps the last good configuration.

When the operator starts and it is not there, the defaults hold. When it starts and it is broken, nothing is
reconciled until it is mended: to go on with defaults would take every model off its host.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from manyserve.api.servingconfig import NAME, ConfigError, ServingConfig, parse
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeHttp, Selection
from manyserve.cluster.copies import Manifest
from manyserve.cluster.events import Recorder
from manyserve.cluster.informer import Informer
from manyserve.cluster.known import Known
from manyserve.operator import metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigEvent:
    """What is told on the ConfigMap."""

    uid: str
    message: str
    kind: str = "ConfigMap"
    name: str = NAME
    type: str = "Warning"
    reason: str = "ConfigNotUsable"
    once: bool = False


class ConfigWatch:
    """Keeps `known.config` what the ConfigMap says.

    Parameters
    ----------
    namespace
        The operator's own.
    """

    def __init__(self, client: KubeHttp, known: Known, recorder: Recorder, namespace: str) -> None:
        self._known = known
        self._recorder = recorder
        self._namespace = namespace
        self._refused: ConfigEvent | None = None
        selection = Selection(namespace, fields=f"metadata.name={NAME}")
        self.informer = Informer(client, kinds.CONFIG_MAP, selection=selection, on_store=self.changed)

    async def ready(self) -> None:
        """Wait for the first list; without a ConfigMap the defaults hold from then on."""
        await self.informer.synced.wait()
        if not self.informer.store:
            self._absent()

    def tell(self) -> None:
        """Have it said once more, if the ConfigMap cannot be used: by the replica that works now."""
        if self._refused:
            self._recorder.record(self._namespace, self._refused)

    def changed(self, _old: Manifest | None, new: Manifest | None) -> None:
        """Take in what the ConfigMap says now."""
        if new is None:
            self._absent()
            return
        try:
            self._use(parse(new.get("data") or {}))
        except ConfigError as error:
            self._refuse(new["metadata"].get("uid", ""), str(error))

    def _absent(self) -> None:
        holds = "what it said last holds" if self._known.config else "the defaults hold"
        _log.warning("ConfigMap %s/%s is not there: %s", self._namespace, NAME, holds)
        self._use(self._known.config or ServingConfig())

    def _use(self, config: ServingConfig) -> None:
        metrics.CONFIG_BROKEN.set(0)
        self._refused = None
        if config != self._known.config:
            _log.info("the configuration is in force")
            self._known.config = config
            self._known.touch_all()

    def _refuse(self, uid: str, why: str) -> None:
        holds = "the last good configuration holds" if self._known.config else "nothing is done until it is mended"
        _log.error("%s; %s", why, holds)
        metrics.CONFIG_ERRORS.inc()
        metrics.CONFIG_BROKEN.set(1)
        self._refused = ConfigEvent(uid, f"{why}; {holds}")
        self.tell()
