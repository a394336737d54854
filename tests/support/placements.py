"""Seconds until the operator places new models, as a user of one namespace sees them.

A user creates hosts and models. An informer keeps the lists of models in this namespace.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.informer import Informer
from manyserve.plan.model_config import text_of
from tests.support import make
from tests.support.eventually import eventually
from tests.support.figures import Figures

Manifest = dict[str, Any]
SLACK = 0.25
"""Seconds by which the response times of the API server alone may differ."""
MOST_TIMES = 2
"""Times the seconds without an attack that a placement may take beside one."""
LIMIT = 60.0
"""Seconds of a placement at most, on a busy machine."""


class Placements:
    """Placements of new models in one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.namespace = namespace
        self._client = client
        self._numbers = count()
        self._lists: dict[str, str] = {}
        """Texts of the lists of models, by the name of their ConfigMap."""

    async def host_in(self) -> float:
        """Return the seconds until a new host has a model that is placed."""
        host = f"other-{next(self._numbers)}"
        await self.create(kinds.INFERENCE_SERVICE, make.host_object(host))
        return await self.model_in(host)

    async def model_in(self, host: str, memory: str | int = "1Mi") -> float:
        """Return the seconds until a new model is placed on a host."""
        model = f"placed-{next(self._numbers)}"
        await self.create(kinds.TRAINED_MODEL, make.model_object(model, host=host, memory=memory))
        began = time.monotonic()
        await eventually(lambda: f'"{model}"' in self._lists.get(names.model_config(host), ""), limit=LIMIT)
        return time.monotonic() - began

    async def create(self, kind: kinds.Kind, manifest: Manifest) -> Manifest:
        """Create an object in this namespace, and return it."""
        own = {key: each for key, each in manifest["metadata"].items() if key in ("labels", "ownerReferences")}
        metadata = own | {"name": manifest["metadata"]["name"], "namespace": self.namespace}
        return await self._client.create(kind, manifest | {"metadata": metadata})

    def record(self, _old: Manifest | None, new: Manifest | None) -> None:
        """Keep the list of models in a ConfigMap."""
        if new is not None:
            self._lists[new["metadata"]["name"]] = text_of(new) or ""


@asynccontextmanager
async def placements(client: KubeClient, namespace: str) -> AsyncIterator[Placements]:
    """Watch the lists of models in a namespace during the block."""
    seen = Placements(client, namespace)
    informer = Informer(client, kinds.CONFIG_MAP, selection=ListOptions(namespace), on_change=seen.record)
    watching = asyncio.create_task(informer.run())
    yield seen
    watching.cancel()


@dataclass
class Comparison:
    """Seconds of the same work with and without an attack, taken in turns."""

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def judge(self, figures: Figures, name: str, *, slack: float = SLACK) -> None:
        """Record how many times the seconds without it the work takes beside an attack. Fail above the goal."""
        without, beside = statistics.median(self.without), statistics.median(self.beside)
        peer = f"median of {len(self.beside)}: {beside:.3f} s, without: {without:.3f} s"
        figures.take(name, beside / without, "times", below=MOST_TIMES, peer=peer)
        assert beside < MOST_TIMES * without + slack, f"{self}"
