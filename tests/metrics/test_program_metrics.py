"""Metrics of reconciles, requests to the API server and reviews, with the names of client-go and controller-runtime."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError, Conflict
from manyserve.cluster.kinds import CONFIG_MAP
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.operator import metrics
from manyserve.operator.reconcile_metrics import ReconcileMetrics
from manyserve.operator.workqueue import Result
from manyserve.prometheus import ApiRequests
from tests.support.fake_api import FakeApi, served
from tests.support.make import model_object
from tests.support.programs import free_port
from tests.webhook.reviews import review_of
from tests.webhook.serving import RunningWebhook

HOST = Key("default", "h")


def value(name: str, registry: CollectorRegistry = metrics.REGISTRY, /, **labels: str) -> float:
    """Return the value of a sample, or 0 without it."""
    return registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("result", "label", "panics"),
    [
        (Result(), "success", 0),
        (Result(requeue_after=1.0), "requeue_after", 0),
        (Conflict("it has changed"), "error", 0),
        (RuntimeError("a defect"), "error", 1),
    ],
)
async def test_reconcile_is_counted_by_its_result(result: Result | Exception, label: str, panics: int) -> None:
    async def reconcile(_key: Key) -> Result:
        if isinstance(result, Exception):
            raise result
        return result

    def counts() -> dict[str, float]:
        own = {"controller": metrics.CONTROLLER}
        return {
            "runs": value("controller_runtime_reconcile_total", result=label, **own),
            "timed": value("controller_runtime_reconcile_time_seconds_count", **own),
            "worked": value("workqueue_work_duration_seconds_count", name=metrics.CONTROLLER),
            "errors": value("controller_runtime_reconcile_errors_total", **own),
            "retries": value("workqueue_retries_total", name=metrics.CONTROLLER),
            "panics": value("controller_runtime_reconcile_panics_total", **own),
        }

    before, failed = counts(), float(label == "error")
    await asyncio.gather(ReconcileMetrics().measured(reconcile)(HOST), return_exceptions=True)
    expected = {"runs": 1.0, "timed": 1.0, "worked": 1.0, "errors": failed, "retries": failed, "panics": panics}
    assert {name: count - before[name] for name, count in counts().items()} == expected


async def test_running_reconciles_are_timed() -> None:
    now, release = [0.0], asyncio.Event()

    async def reconcile(_key: Key) -> Result:
        await release.wait()
        return Result()

    measured = ReconcileMetrics(lambda: now[0])
    running: list[asyncio.Future[Result]] = []
    for seconds in (0.0, 2.0):
        now[0] = seconds
        running.append(asyncio.ensure_future(measured.measured(reconcile)(HOST)))
        await asyncio.sleep(0)
    now[0] = 5.0
    assert (measured.unfinished(), measured.longest()) == (8.0, 5.0)
    running[0].cancel()
    await asyncio.gather(running[0], return_exceptions=True)
    assert (measured.unfinished(), measured.longest()) == (3.0, 3.0)
    release.set()
    await running[1]
    assert (measured.unfinished(), measured.longest()) == (0.0, 0.0)


async def test_requests_to_the_api_server_are_counted_by_code_and_method() -> None:
    registry = CollectorRegistry()
    async with served(FakeApi(), on_request=ApiRequests(registry).observe) as client:
        await client.list(CONFIG_MAP)
        host = client._config.server.partition("://")[2]
    assert value("rest_client_requests_total", registry, code="200", method="GET", host=host) == 1
    assert value("rest_client_request_duration_seconds_count", registry, verb="GET", host=host) == 1


async def test_request_without_a_response_has_the_code_of_client_go() -> None:
    registry, host = CollectorRegistry(), f"127.0.0.1:{free_port()}"
    async with KubeClient(ClusterConfig(f"http://{host}"), on_request=ApiRequests(registry).observe) as client:
        with pytest.raises(ClusterError):
            await client.read("/version")
    assert value("rest_client_requests_total", registry, code="<error>", method="GET", host=host) == 1


async def test_reviews_are_counted_by_code(running: RunningWebhook) -> None:
    await running.post(review_of(model_object("a"), namespace="default"))
    await running.post(b"no JSON")
    registry = running.metrics.registry
    name = "controller_runtime_webhook_requests_total"
    assert value(name, registry, webhook="/validate", code="200") == 1
    assert value(name, registry, webhook="/validate", code="400") == 1
    assert value("controller_runtime_webhook_latency_seconds_count", registry, webhook="/validate") == 2
    assert value("controller_runtime_webhook_requests_in_flight", registry, webhook="/validate") == 0
    assert b"manyserve_webhook_reviews_total" in generate_latest(registry)
