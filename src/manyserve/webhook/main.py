"""The life of the webhook: a certificate first, then the doors, then the caches; and a graceful end.

The doors open before the caches are filled, so that probes are answered; `/readyz` says no until then, and a
review that comes too early gets an answer from what is known, which only ever lets too much in.
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
from manyserve.webhook.certs.reload import ReloadableTls
from manyserve.webhook.certs.rotation import (
    CertificateSource,
    FileSource,
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
"""After the signal to stop, requests are still answered until every API server knows that we are going."""
STOP_SECONDS = 2.0
"""The longest wait for running requests at the end."""

_log = logging.getLogger(__name__)


def run(settings: WebhookSettings) -> None:
    """Run until told to stop. Raises `StartupError`."""
    logs.set_up(settings.log_level)
    uvloop.run(_main(settings))


async def _main(settings: WebhookSettings) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with KubeClient(find_cluster_config()) as client:
        await serve(settings, client, stop)


async def serve(settings: WebhookSettings, client: KubeClient, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises `StartupError`."""
    await _reach(client)
    cache = Cache(Reservations(time.monotonic), refuse_unmanaged=settings.refuse_unmanaged)
    metrics, tls = Metrics(), ReloadableTls()
    keeper = _keeper(settings, client, tls)
    await first_refresh(keeper)
    watching = WebhookInformers(client, settings, cache, metrics)
    renewal = asyncio.create_task(run_rotation(keeper, metrics, tls))
    health = Health(
        lambda: "the certificate is not renewed any more" if renewal.done() else watching.liveness_problem(),
        lambda: "stopping" if stop.is_set() else watching.readiness_problem(),
    )
    doors = Handlers(cache, metrics, health)
    servers = (
        HttpServer(secure_app(doors), settings.port, tls.context, stop_seconds=STOP_SECONDS),
        HttpServer(plain_app(doors), settings.metrics_port, stop_seconds=STOP_SECONDS),
    )
    tasks = [renewal, asyncio.create_task(_freeze_when_synced(watching))]
    watching.start()
    try:
        for server in servers:
            await server.start()
        _log.info("listening on ports %d (TLS) and %d", settings.port, settings.metrics_port)
        await _told_to_stop(stop)
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
        await watching.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told_to_stop(stop: asyncio.Event) -> None:
    await stop.wait()
    _log.info("stopping")
    await asyncio.sleep(DRAIN_SECONDS)


async def _reach(client: KubeClient) -> None:
    try:
        await client.read("/version")
    except ClusterError as error:
        raise StartupError(f"the API server cannot be reached: {error}") from error


def _keeper(settings: WebhookSettings, client: KubeClient, tls: ReloadableTls) -> CertificateSource:
    if settings.certificate_folder is not None:
        return FileSource(tls, settings.certificate_folder, settings.names[0], utc_now)
    return SelfSignedSource(
        tls, client, settings.namespace, settings.secret, settings.configuration, settings.names, utc_now
    )


async def _freeze_when_synced(watching: WebhookInformers) -> None:
    """Keep the collector away from what stays: a full collection over thousands of objects takes long."""
    await watching.synced()
    gc.collect()
    gc.freeze()
    _log.info("ready: %d objects known", sum(len(each.objects) for each in watching.informers))
