"""The parts of one router, put together: pods.json, the followers, the routes and the xDS server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import aiohttp

from manyserve.api.routes import Pod, Routes
from manyserve.router.admin import EnvoyAdmin
from manyserve.router.buckets import resources_of
from manyserve.router.endpoints import load_assignment
from manyserve.router.follow import Follower
from manyserve.router.metrics import Metrics
from manyserve.router.pods_file import PodsFile
from manyserve.router.settings import RouterSettings
from manyserve.router.state import AgentView, RouterState
from manyserve.router.xds import XdsServer

CHECK_SECONDS = 0.1
"""Time between two checks of pods.json and of the agents' silence."""


class Router:
    """One router program, in a running event loop."""

    def __init__(self, settings: RouterSettings, clock: Callable[[], float]) -> None:
        self.state = RouterState()
        self.metrics = Metrics()
        self.pods_file = PodsFile(settings.pods_file)
        self.envoy = EnvoyAdmin(settings.admin_socket)
        self.xds = XdsServer(clock, self._on_answer)
        self.is_stopping = False
        self._settings = settings
        self._clock = clock
        self._followers: dict[str, tuple[AgentView, Follower, asyncio.Task[None]]] = {}
        self._reported: dict[str, tuple[int, float]] = {}
        """Revision and time of each agent's first report that Envoy has not acknowledged, by UID."""
        self._is_flush_due = False
        self._changed = asyncio.Event()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def run(self) -> None:
        """Follow the agents until cancelled."""
        await self.envoy.pass_health_check()
        await self.xds.start(self._settings.xds_socket)
        while True:
            self._check_pods()
            self.state.check_silence(self._clock())
            self._flush()
            await asyncio.sleep(CHECK_SECONDS)

    async def close(self) -> None:
        """End the followers, with a good-bye to their agents, and the xDS server."""
        followers = [follower for _, follower, _ in self._followers.values()]
        for _, _, task in self._followers.values():
            task.cancel()
        await asyncio.gather(*(follower.end() for follower in followers))
        await self.xds.stop()
        await self._session.close()
        await self.envoy.close()

    async def wait_for_change(self, seconds: float) -> None:
        """Wait until Envoy has answered, or other routes were sent, for at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def readiness_problem(self) -> str:
        """Return the reason why the router is not ready; empty when it is."""
        problem = self._problem() or ("" if await self.envoy.is_ready() else "Envoy is not ready")
        self.metrics.ready.set(not problem)
        return problem

    def _problem(self) -> str:
        if self.is_stopping:
            return "the router is stopping"
        if self.pods_file.pods is None:
            return self.pods_file.error
        if not self.state.is_open:
            return "the agents have not answered yet"
        return "" if self.state.is_acknowledged else "Envoy has not acknowledged its endpoints"

    def _check_pods(self) -> None:
        if self.pods_file.refresh():
            self.state.set_pods(self.pods_file.pods or (), self._clock())
            self._update_followers()
        self.metrics.pods_error.set(bool(self.pods_file.error))

    def _update_followers(self) -> None:
        for uid, (view, _, task) in list(self._followers.items()):
            if self.state.views.get(uid) is not view:
                task.cancel()
                del self._followers[uid]
        for uid, view in self.state.views.items():
            if uid not in self._followers:
                follower = self._follower(uid, view)
                self._followers[uid] = (view, follower, asyncio.create_task(follower.run()))

    def _follower(self, uid: str, view: AgentView) -> Follower:
        return Follower(
            view,
            _url(view.pod, self._settings.agent_port),
            self._settings.router,
            self._session,
            on_routes=partial(self._on_routes, uid),
            on_poll=lambda result: self.metrics.polls.labels(result).inc(),
        )

    def _on_routes(self, uid: str, routes: Routes) -> None:
        now = self._clock()
        self.state.report(uid, routes, now)
        if routes.models is not None and self.state.views[uid].seen < routes.revision:
            self._reported.setdefault(uid, (routes.revision, now))
        if not self._is_flush_due:  # reports that come together are one update
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Send the endpoints of the buckets that changed."""
        self._is_flush_due = False
        self.metrics.models.set(len(self.state.routes.models))
        resources = {
            name: (version, load_assignment(name, self.state.routes.endpoints(bucket), self._settings.ports))
            for bucket, version in self.state.take_changes().items()
            for name in resources_of(bucket)
        }
        if resources:
            self.xds.set(resources)
            self._wake()

    def _on_answer(self) -> None:
        """Record the acknowledgements of Envoy, and pass them on to the agents."""
        now = self._clock()
        for uid in self.state.acknowledge(self.xds.acknowledged()):
            _, follower, _ = self._followers[uid]
            follower.acknowledged.set()
            revision, since = self._reported.get(uid, (0, now))
            if revision and self.state.views[uid].seen >= revision:
                self.metrics.route_seconds.observe(now - since)
                del self._reported[uid]
        self._wake()


def _url(pod: Pod, port: int) -> str:
    """Return the URL of a pod's agent."""
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    return f"http://{host}:{port}"
