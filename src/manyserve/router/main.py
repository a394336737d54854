"""The program `manyserve router`: run beside Envoy until SIGTERM or SIGINT, and stop after it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from pathlib import Path

import uvloop

from manyserve import logs
from manyserve.api.errors import StartupError
from manyserve.http_server import HttpServer
from manyserve.redaction import one_line, without_secrets
from manyserve.router.activator_servers import Activator
from manyserve.router.envoy.config import envoy_config
from manyserve.router.program import Router
from manyserve.router.settings import RouterSettings
from manyserve.router.status import application
from manyserve.router.stop import Stop

log = logging.getLogger("manyserve.router")


def write_envoy_config(settings: RouterSettings, path: Path) -> None:
    """Write Envoy's static configuration. Raises `StartupError`."""
    try:
        path.write_text(json.dumps(envoy_config(settings.envoy)))
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {one_line(error)}") from error


def run(settings: RouterSettings) -> None:
    """Run the router until SIGTERM or SIGINT. Raises `StartupError` when it cannot start."""
    logs.set_up(settings.log_level, clean=without_secrets)
    uvloop.run(serve(settings))


async def serve(settings: RouterSettings) -> None:
    """Run in this event loop until a signal comes. Raises `StartupError`."""
    router = Router(settings, time.monotonic)
    stop = Stop(router.envoy, settings)
    activator = Activator(router.state, router.metrics, time.monotonic)
    http = HttpServer(application(router, stop, time.monotonic), settings.port)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.requested.set)
    try:
        await http.start()
        await activator.start(settings.activator_http_port, settings.activator_grpc_port)
        log.info("router is started: %s is followed", settings.pods_file)
        await _run_until(router, stop)
    finally:
        await router.close()
        await activator.stop()
        await http.stop()
    log.info("router is stopped")


async def _run_until(router: Router, stop: Stop) -> None:
    """Follow the agents until Envoy has ended. Raises the error of a follower that ends by itself."""
    following, requested = asyncio.create_task(router.run()), asyncio.create_task(stop.requested.wait())
    try:
        await asyncio.wait({following, requested}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
        router.is_stopping = True
        await stop.run()
    finally:
        for task in (following, requested):
            task.cancel()
