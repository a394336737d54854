"""The checks of a release, each by one or two requests to the API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from manyserve.api.names import GROUP
from manyserve.check.settings import CheckSettings
from manyserve.check.verdicts import deployment_problem, owner_problem, review_problem, wrong_model
from manyserve.cluster.client import KubeClient
from manyserve.cluster.crd_guard import GUARDED, INDEX, pruning_problem
from manyserve.cluster.errors import ClusterError, NotFound
from manyserve.cluster.kinds import CRD, DEPLOYMENT, TRAINED_MODEL, Kind

PAUSE = 2.0
"""Seconds between two rounds of the failed checks."""


class Check(NamedTuple):
    """A check with the sentence of its success; `problem` returns the sentence of its failure, or None."""

    success: str
    problem: Callable[[], Awaitable[str | None]]


class Result(NamedTuple):
    """The sentence of a check, and whether it succeeded."""

    succeeded: bool
    sentence: str


def checks(client: KubeClient, settings: CheckSettings) -> Iterator[Check]:
    """Yield the checks of the settings."""
    for name in settings.deployments:
        yield Check(f"all pods of {name} are ready", _deployment(client, settings.namespace, name))
    for kind in GUARDED:
        name = f"{kind.plural}.{GROUP}"
        yield Check(f"the CRD {name} is manyserve's and preserves unknown fields", _crd(client, kind, name))
    if settings.review_namespace:
        yield Check("the webhook refuses a wrong TrainedModel", _review(client, settings.review_namespace))


async def results(wanted: Sequence[Check], limit: float, pause: float = PAUSE) -> list[Result]:
    """Return the results in the order of the checks. A check that fails is repeated until the limit, in seconds."""
    deadline = time.monotonic() + limit
    while True:
        found = [await _result(each) for each in wanted]
        if all(each.succeeded for each in found) or time.monotonic() + pause > deadline:
            return found
        await asyncio.sleep(pause)


async def _result(check: Check) -> Result:
    try:
        problem = await check.problem()
    except ClusterError as error:
        problem = f"it cannot be checked whether {check.success}: {error}"
    return Result(problem is None, problem or check.success)


def _deployment(client: KubeClient, namespace: str, name: str) -> Callable[[], Awaitable[str | None]]:
    async def problem() -> str | None:
        try:
            return deployment_problem(await client.get(DEPLOYMENT, namespace, name))
        except NotFound:
            return f"the Deployment {namespace}/{name} does not exist"

    return problem


def _crd(client: KubeClient, kind: Kind, name: str) -> Callable[[], Awaitable[str | None]]:
    async def problem() -> str | None:
        try:
            definition = await client.get_metadata(CRD, "", name)
        except NotFound:
            return f"the CRD {name} is not installed"
        document = await client.read(f"{INDEX}/apis/{kind.api_version}")
        return owner_problem(name, definition["metadata"]) or pruning_problem(document, kind)

    return problem


def _review(client: KubeClient, namespace: str) -> Callable[[], Awaitable[str | None]]:
    async def problem() -> str | None:
        try:
            await client.try_out(TRAINED_MODEL, wrong_model(namespace, TRAINED_MODEL.api_version))
        except ClusterError as error:
            return review_problem(error, namespace)
        return review_problem(None, namespace)

    return problem
