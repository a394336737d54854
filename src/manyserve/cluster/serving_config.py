"""Informer of `inferenceservice-config`. An invalid edit, or its deletion, keeps the last valid configuration.

Without a ConfigMap at the start the defaults apply. With an invalid one at the start there is no configuration.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from manyserve.api.servingconfig import NAME, ConfigError, ServingConfig, parse
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import CONFIG_MAP
from manyserve.cluster.store import Manifest

_log = logging.getLogger(__name__)


class ServingConfigInformer:
    """Parses each state of the ConfigMap.

    Parameters
    ----------
    on_valid
        Called with the configuration in force after each valid state, also an unchanged one.
    on_invalid
        Called with the ConfigMap's uid and the reason after each invalid state.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        on_valid: Callable[[ServingConfig], None],
        on_invalid: Callable[[str, str], None],
    ) -> None:
        self.config: ServingConfig | None = None
        """The last valid configuration."""
        self._namespace = namespace
        self._on_valid = on_valid
        self._on_invalid = on_invalid
        selection = ListOptions(namespace, fields=f"metadata.name={NAME}")
        self.informer = Informer(client, CONFIG_MAP, selection=selection, on_store=self.changed)

    async def ready(self) -> None:
        """Wait for the first list."""
        await self.informer.synced.wait()
        if not self.informer.objects:
            self._set_absent()

    def changed(self, _old: Manifest | None, new: Manifest | None) -> None:
        """Parse a new state; None means that the ConfigMap was deleted."""
        if new is None:
            self._set_absent()
            return
        try:
            self._set_config(parse(new.get("data") or {}))
        except ConfigError as error:
            self._on_invalid(new["metadata"].get("uid", ""), str(error))

    def _set_absent(self) -> None:
        effect = "the last valid configuration stays in force" if self.config else "the defaults apply"
        _log.warning("ConfigMap %s/%s does not exist: %s", self._namespace, NAME, effect)
        self._set_config(self.config or ServingConfig())

    def _set_config(self, config: ServingConfig) -> None:
        if config != self.config:
            _log.info("a new configuration is in force")
        self.config = config
        self._on_valid(config)
