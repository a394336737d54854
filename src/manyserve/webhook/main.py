"""Life of the webhook process: certificate, servers, informers, and a graceful stop.

The servers start before the informers have listed, so that probes are answered. `/readyz` fails until then. An earlier
review is answered from an incomplete cache, which can only admit too much.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time

import uvloop

from manyserve import logs
from manyserve.api.errors import StartupError
from manyserve.cluster.client import KubeClient
from manyserve.cluster.clock import utc_now
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.http_server import HttpServer
from manyserve.webhook.cache import Cache
from manyserve.webhook.callers import Callers
from manyserve.webhook.certs.rotation import (
    CertificateSource,
    FileSource,
    ReloadableTls,
    SelfSignedSource,
    first_refresh,
    run_rotation,
)
from manyserve.webhook.handlers import Handlers, Health, plain_app, secure_app
from manyserve.webhook.informers import WebhookInformers
from manyserve.webhook.metrics import Metrics
from manyserve.webhook.reservations import Reservations
from manyserve.webhook.settings import WebhookSettings

DRAIN_SECONDS = 3.0
"""Seconds of service after the signal to stop, until every API server has removed this endpoint."""
STOP_SECONDS = 2.0
"""Seconds of the longest wait for running requests at the end."""

_log = logging.getLogger(__name__)


def run(settings: WebhookSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises `StartupError`."""
    logs.set_up(settings.log_level)
    uvloop.run(_main(settings))


async def _main(settings: WebhookSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with KubeClient(find_cluster_config(), on_request=metrics.api_requests.observe) as client:
        await serve(settings, client, stop, metrics)


async def serve(settings: WebhookSettings, client: KubeClient, stop: asyncio.Event, metrics: Metrics) -> None:
    """Serve until `stop` is set. Raises `StartupError`."""
    await _check_api_server(client)
    cache = Cache(Reservations(time.monotonic), refuse_unmanaged=settings.refuse_unmanaged)
    tls = ReloadableTls()
    callers = Callers(settings.client_ca, settings.client_names)
    callers.trust(tls.context)
    source = _certificate_source(settings, client, tls)
    await first_refresh(source)
    informers = WebhookInformers(client, settings, cache, metrics)
    rotation = asyncio.create_task(run_rotation(source, metrics, tls))
    health = Health(
        lambda: "certificate rotation stopped" if rotation.done() else informers.liveness_problem(),
        lambda: "stopping" if stop.is_set() else informers.readiness_problem(),
    )
    servers = _servers(settings, Handlers(cache, metrics, health, callers), tls)
    tasks = [rotation, asyncio.create_task(_freeze_when_synced(informers))]
    try:
        for server in servers:  # before the informers: a port in use ends no watch that is being opened
            await server.start()
        informers.start()
        _log.info("listening on ports %d (TLS) and %d", settings.port, settings.metrics_port)
        await _wait_and_drain(stop)
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        await informers.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _servers(settings: WebhookSettings, handlers: Handlers, tls: ReloadableTls) -> tuple[HttpServer, HttpServer]:
    return (
        HttpServer(secure_app(handlers), settings.port, tls.context, stop_seconds=STOP_SECONDS),
        HttpServer(plain_app(handlers), settings.metrics_port, stop_seconds=STOP_SECONDS),
    )


async def _wait_and_drain(stop: asyncio.Event) -> None:
    await stop.wait()
    _log.info("stopping")
    await asyncio.sleep(DRAIN_SECONDS)


async def _check_api_server(client: KubeClient) -> None:
    try:
        await client.read("/version")
    except ClusterError as error:
        raise StartupError(f"the API server cannot be reached: {error}") from error


def _certificate_source(settings: WebhookSettings, client: KubeClient, tls: ReloadableTls) -> CertificateSource:
    if settings.certificate_folder is not None:
        return FileSource(tls, settings.certificate_folder, settings.names[0], utc_now)
    return SelfSignedSource(
        tls, client, settings.namespace, settings.secret, settings.configuration, settings.names, utc_now
    )


async def _freeze_when_synced(informers: WebhookInformers) -> None:
    """Exclude the cached objects from garbage collection: a full collection over thousands of objects takes long."""
    await informers.synced()
    gc.collect()
    gc.freeze()
    _log.info("ready: %d objects cached", sum(len(each.objects) for each in informers.informers))
