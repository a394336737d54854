"""Route table: the state of each model as routers see it, with a revision and long-poll waiters.

A model stays `Loaded` while the server swaps its version: the previous one answers meanwhile. Without a readable
`models.json` the models that an earlier agent has loaded stay `Loaded`, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from manyserve.agent.reconcile import ABSENT, NOTHING, Observed, ServerState, is_ready
from manyserve.api.agentreport import ModelReport, ModelState
from manyserve.api.routes import Routes, RouteState

_STATES = {
    ModelState.PENDING: RouteState.PENDING,
    ModelState.DOWNLOADING: RouteState.LOADING,
    ModelState.LOADING: RouteState.LOADING,
    ModelState.LOADED: RouteState.LOADED,
    ModelState.DOWNLOAD_FAILED: RouteState.FAILED,
    ModelState.LOAD_FAILED: RouteState.FAILED,
}
_LEAVING = {ServerState.READY, ServerState.UNLOADING}
NO_STATES: Mapping[str, RouteState] = {}


def route_states(
    reports: Mapping[str, ModelReport], observed: Observed, before: Mapping[str, RouteState] = NO_STATES
) -> dict[str, RouteState]:
    """Return the state of each desired model, and of each other one that the server has not unloaded yet."""
    index = observed.index or {}
    leaving = {name: RouteState.LEAVING for name in index.keys() - reports.keys() if index[name].state in _LEAVING}
    states = {name: _state(name, report, observed, before.get(name)) for name, report in reports.items()}
    return states | leaving


def _state(name: str, report: ModelReport, observed: Observed, before: RouteState | None) -> RouteState:
    if report.serving or (before is RouteState.LOADED and _is_swapping(name, observed)):
        return RouteState.LOADED
    return _STATES[report.state]


def _is_swapping(name: str, observed: Observed) -> bool:
    """Return whether the server loads a version of the model over one that it has loaded."""
    disk, server = observed.disk.get(name, NOTHING), (observed.index or {}).get(name, ABSENT)
    return server.state is ServerState.LOADING and (disk.loaded or bool(disk.kept))


def found_states(observed: Observed) -> dict[str, RouteState]:
    """Return the states of the models that an earlier agent has loaded, for an agent without a config."""
    loaded = (name for name, disk in observed.disk.items() if disk.loaded and is_ready(name, observed))
    return dict.fromkeys(loaded, RouteState.LOADED)


class RouteTable:
    """The route states in force. It is ready once the server's index was read."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.revision = 0
        """0 until the server's index was read once; routers get no answer before."""
        self._states: Mapping[str, RouteState] = {}
        self._since: dict[str, int] = {}
        """Revision in which each model came into its state."""
        self._body = b""
        self._changed = asyncio.Event()

    def update(self, reports: Mapping[str, ModelReport] | None, observed: Observed) -> None:
        """Put the states of a snapshot in force; `reports` is None while there is no config."""
        if observed.index is None and not self.revision:
            return
        states = found_states(observed) if reports is None else route_states(reports, observed, self._states)
        if reports is None and not states:
            return
        if states != self._states or not self.revision:
            self.put(states)

    def put(self, states: Mapping[str, RouteState]) -> None:
        """Put other states in force, as a new revision."""
        self.revision += 1
        stayed = {name: since for name, since in self._since.items() if states.get(name) is self._states.get(name)}
        self._since = dict.fromkeys(states, self.revision) | stayed
        self._states, self._body = states, b""
        self._changed.set()
        self._changed = asyncio.Event()

    def since(self, name: str, state: RouteState) -> int | None:
        """Return the revision in which the model came into this state; None when it is in another one."""
        return self._since[name] if self._states.get(name) is state else None

    def loaded_by(self, revision: int) -> frozenset[str]:
        """Return the models that are loaded, and were so in this revision."""
        loaded = (name for name, state in self._states.items() if state is RouteState.LOADED)
        return frozenset(name for name in loaded if self._since[name] <= revision)

    def body(self, have: int) -> bytes:
        """Return the answer for a router that has this revision."""
        if have >= self.revision:
            return Routes(self.instance, self.revision).to_json()
        self._body = self._body or Routes(self.instance, self.revision, self._states).to_json()
        return self._body

    async def wait(self, have: int, seconds: float) -> None:
        """Wait until there is a revision after `have`, for at most `seconds`."""
        if have < self.revision:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
