"""The program `manyserve agent`: build the parts, run until SIGTERM or SIGINT, stop at once.

A stop unloads nothing and removes nothing: the server keeps serving, and the next start adopts the state.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import signal
import time

import uvloop

from manyserve import logs
from manyserve.agent.download import downloaders
from manyserve.agent.http_api import application
from manyserve.agent.job import AgentContext
from manyserve.agent.loop import Agent
from manyserve.agent.metrics import Metrics
from manyserve.agent.servers import DIALECTS, ModelServer
from manyserve.agent.settings import AgentSettings
from manyserve.agent.state import AgentState
from manyserve.agent.volume.durable_fs import FileSystem
from manyserve.agent.volume.store import Store
from manyserve.http_server import HttpServer
from manyserve.redaction import without_secrets

log = logging.getLogger("manyserve.agent")

OPEN_FILES = 8192
"""Files and connections of the process. Some runtimes allow 1,024 unless a process asks for more."""
UMASK = 0o027  # the server reads as the group of the volume's folders; others have no access


def run(settings: AgentSettings) -> None:
    """Run the agent until SIGTERM or SIGINT. Raises `StartupError` when it cannot start."""
    os.umask(UMASK)
    _allow_open_files()
    logs.set_up(settings.log_level, clean=without_secrets)
    uvloop.run(serve(settings))


def _allow_open_files() -> None:
    """Raise the limit of open files to `OPEN_FILES`, as far as the process may."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


async def serve(settings: AgentSettings, files: FileSystem | None = None) -> None:
    """Run the agent and its HTTP server in this event loop, until a signal comes. Raises `StartupError`."""
    server = DIALECTS[settings.server_dialect](settings.server_url, settings.server_key, settings.allowed_backends)
    context = build(settings, server, files)
    agent = Agent(context)
    http = HttpServer(application(agent, context), settings.port)
    try:
        await http.start()
        log.info("agent is started: %s is synced to %s", settings.config_file, settings.server_url)
        await _until_signal(asyncio.create_task(agent.run()))
    finally:
        agent.publisher.wake_all()
        await http.stop()
        await server.close()
    log.info("agent is stopped")


def build(settings: AgentSettings, server: ModelServer, files: FileSystem | None = None) -> AgentContext:
    """Return the parts, put together; `files` overrides the file system of the volume."""
    store = Store(settings.store_dir, files)
    return AgentContext(
        settings=settings,
        state=AgentState(store, server, has_routers=settings.routers),
        store=store,
        server=server,
        downloaders=downloaders(settings),
        metrics=Metrics(),
        clock=time.monotonic,
        unix_time=time.time,
        jitter=random.random,
    )


async def _until_signal(task: asyncio.Task[None]) -> None:
    """Cancel the task at a signal. Raises the error of a task that ends by itself."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopping")
