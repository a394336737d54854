"""Entry point of `manyserve check`: the results of all checks, and their lines."""

from __future__ import annotations

import asyncio

from manyserve.check.checks import Result, checks, results
from manyserve.check.settings import CheckSettings
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config


def run(settings: CheckSettings) -> list[Result]:
    """Return the results for the cluster that this process finds."""
    return asyncio.run(_check(settings))


def line(result: Result) -> str:
    """Return the line about a result."""
    return f"{'ok' if result.succeeded else 'FAILED'}: {result.sentence}"


async def _check(settings: CheckSettings) -> list[Result]:
    async with KubeClient(find_cluster_config()) as client:
        return await results(list(checks(client, settings)), settings.timeout)
