"""The informers that fill the cache: hosts, models, and the serving configuration."""

from __future__ import annotations

import asyncio
import logging
import time

from manyserve.api.servingconfig import ServingConfig
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import INFERENCE_SERVICE, TRAINED_MODEL
from manyserve.cluster.scope import LiveScope
from manyserve.cluster.serving_config import ServingConfigInformer
from manyserve.cluster.store import identity
from manyserve.webhook.cache import Cache
from manyserve.webhook.metrics import Metrics
from manyserve.webhook.settings import WebhookSettings

STALE_SECONDS = 300.0
"""Seconds without progress after which an informer is stalled. A healthy or failing one acts every 30 s."""

_log = logging.getLogger(__name__)


class WebhookInformers:
    """Informers and their tasks. Objects out of scope may be cached, and their reviews always pass."""

    def __init__(self, client: KubeClient, settings: WebhookSettings, cache: Cache, metrics: Metrics) -> None:
        live = LiveScope(client, settings.scope)
        self._cache, self._metrics = cache, metrics
        config = ServingConfigInformer(client, settings.namespace, self._use, self._invalid)
        cache.in_scope = live.contains
        self.informers = (
            config.informer,
            *live.informers,
            *(
                Informer(
                    client,
                    kind,
                    selection=ListOptions(namespace),
                    on_store=changed,
                    keep=identity,
                    refusable=namespace is not None,
                )
                for namespace in settings.scope.namespaces or (None,)
                for kind, changed in ((INFERENCE_SERVICE, cache.host_changed), (TRAINED_MODEL, cache.model_changed))
            ),
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the informers."""
        self._tasks = [asyncio.create_task(each.run(), name=each.kind.plural) for each in self.informers]

    async def synced(self) -> None:
        """Wait until each informer has listed once."""
        for informer in self.informers:
            await informer.settled.wait()

    async def stop(self) -> None:
        """Stop the informers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def liveness_problem(self) -> str | None:
        """Return the problem of an informer that stopped or stalled, or None."""
        for task in self._tasks:
            if task.done():
                return f"the informer of {task.get_name()} stopped"
        for informer in self.informers:
            if self._tasks and time.monotonic() - informer.last_step > STALE_SECONDS:
                return f"the informer of {informer.kind.plural} stalled"
        return None

    def readiness_problem(self) -> str | None:
        """Return the kinds that are not listed yet, or None."""
        missing = dict.fromkeys(each.kind.plural for each in self.informers if not each.settled.is_set())
        return f"not listed yet: {', '.join(missing)}" if missing else None

    def _use(self, config: ServingConfig) -> None:
        self._cache.config = config

    def _invalid(self, _uid: str, error: str) -> None:
        self._metrics.config_errors.inc()
        _log.warning("the last valid configuration stays in force: %s", error)
