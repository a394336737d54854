"""State of one router: the agents' reports, the routes from them, and the acknowledgements of Envoy. Pure.

An agent that is silent for `SILENCE_SECONDS` loses its endpoints, while others are heard. A router that has heard no
agent for `ISOLATED_SECONDS` is isolated: the fault is more likely its own network, and the last routes stay. After that
each agent gets the time of silence again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from manyserve.api.routes import Pod, Routes, RouteState
from manyserve.router.buckets import BUCKETS, resources_of
from manyserve.router.led import Led
from manyserve.router.routes import Progress, RouteMap

SILENCE_SECONDS = 5.0
ISOLATED_SECONDS = 2.5
"""Longer than the 2 s of a poll. Agents that became silent together have a last answer within 2 s of each other, so
none of them has lost its endpoints by then."""
REMEMBER_SECONDS = 10.0
"""Time after its last report in which a model still counts as known."""


@dataclass
class AgentView:
    """An agent as the router sees it."""

    pod: Pod
    added: float
    heard: float | None = None
    """Time of the last answer."""
    instance: str = ""
    have: int = 0
    seen: int = 0
    models: Mapping[str, RouteState] = field(default_factory=dict)
    has_endpoints: bool = False
    progress: Progress = field(default_factory=Progress)

    @property
    def loaded(self) -> frozenset[str]:
        """Names of the models with an endpoint at this pod."""
        if not self.has_endpoints:
            return frozenset()
        return frozenset(name for name, state in self.models.items() if state is RouteState.LOADED)


class RouterState:
    """Reports, routes and acknowledgements."""

    def __init__(self) -> None:
        self.views: dict[str, AgentView] = {}
        """By UID of the pod."""
        self.routes = RouteMap()
        self.led = Led()
        self.is_open = False
        """Each agent has answered or was silent, so the routes are whole, and Envoy may have them."""
        self._has_pods = False
        self._acknowledged = [0] * BUCKETS
        self._dirty = set(range(BUCKETS))
        self._forgotten: dict[str, float] = {}
        """Time at which each model ceased to be named."""
        self._isolated = float("-inf")
        """Last time at which the router was isolated."""

    def set_pods(self, pods: Sequence[Pod], now: float) -> None:
        """Put `pods.json` in force. A pod with another address is a new one."""
        self._has_pods = True
        kept = {pod.uid for pod in pods if pod.uid in self.views and self.views[pod.uid].pod.ip == pod.ip}
        for uid in self.views.keys() - kept:
            self._forget(self.views.pop(uid), now)
        for pod in pods:
            self.views.setdefault(pod.uid, AgentView(pod, now)).pod = pod
        self.check_silence(now)

    def report(self, uid: str, routes: Routes, now: float) -> None:
        """Put an agent's answer in force."""
        self.check_silence(now)  # a program that was frozen has been isolated, and keeps its routes
        view = self.views[uid]
        view.heard = now
        if routes.models is not None or not view.has_endpoints:
            self._put_in_force(view, routes, view.models if routes.models is None else routes.models, now)
        self.check_silence(now)

    def _put_in_force(self, view: AgentView, routes: Routes, models: Mapping[str, RouteState], now: float) -> None:
        if routes.instance != view.instance:
            view.instance, view.seen, view.progress = routes.instance, 0, Progress()
        before = view.loaded
        self._remember(view.models.keys() - models.keys(), now)
        view.models, view.have, view.has_endpoints = models, routes.revision, True
        view.progress.add(routes.revision, self._change(view, before))
        self._advance(view)

    def _change(self, view: AgentView, before: frozenset[str]) -> Mapping[int, int]:
        versions = self.routes.replace(view.pod.ip, before, view.loaded)
        self._dirty |= versions.keys()
        return versions

    def _forget(self, view: AgentView, now: float) -> None:
        before, view.has_endpoints = view.loaded, False
        self._change(view, before)
        self._remember(view.models, now)

    def _remember(self, names: Iterable[str], now: float) -> None:
        self._forgotten.update(dict.fromkeys(names, now))

    def check_silence(self, now: float) -> None:
        """Drop the endpoints of silent agents, unless the router is isolated; open the routes once they are whole."""
        self._forgotten = {name: since for name, since in self._forgotten.items() if now - since < REMEMBER_SECONDS}
        if self.views and not any(_is_heard(view, now, ISOLATED_SECONDS) for view in self.views.values()):
            self._isolated = now
            return
        silent = [view for view in self.views.values() if now - (view.heard or view.added) > SILENCE_SECONDS]
        if now - self._isolated > SILENCE_SECONDS:
            for view in silent:
                before, view.has_endpoints = view.loaded, False
                self._change(view, before)
        waits = any(view.heard is None and view not in silent for view in self.views.values())
        self.is_open = self.is_open or (self._has_pods and not waits)

    def take_changes(self) -> dict[int, int]:
        """Return the versions of the buckets that changed since the last call; none before the routes are whole."""
        if not self.is_open:
            return {}
        self.led.update(self.routes, self._acknowledged)
        changes, self._dirty = {bucket: self.routes.versions[bucket] for bucket in self._dirty}, set()
        return changes

    def acknowledge(self, versions: Mapping[str, int]) -> list[str]:
        """Record Envoy's versions of all resources. Return the UIDs of the agents with a revision seen by that."""
        for bucket in range(BUCKETS):
            self._acknowledged[bucket] = min(versions.get(name, 0) for name in resources_of(bucket))
        self.led.update(self.routes, self._acknowledged)
        return [uid for uid, view in self.views.items() if self._advance(view)]

    def _advance(self, view: AgentView) -> bool:
        seen = view.progress.advance(self._acknowledged)
        if seen is not None:
            view.seen = seen
        return seen is not None

    @property
    def is_acknowledged(self) -> bool:
        """Whether Envoy has acknowledged all resources, in any version."""
        return self.is_open and all(self._acknowledged)

    def states(self, model: str) -> frozenset[RouteState]:
        """Return the states of a model on all pods."""
        return frozenset(view.models[model] for view in self.views.values() if model in view.models)

    def is_unknown(self, model: str, now: float) -> bool:
        """Return whether no agent has named the model lately, and each one was heard."""
        if now - self._forgotten.get(model, float("-inf")) < REMEMBER_SECONDS or self.states(model):
            return False
        return self._has_pods and all(_is_heard(view, now, SILENCE_SECONDS) for view in self.views.values())


def _is_heard(view: AgentView, now: float, seconds: float) -> bool:
    return view.heard is not None and now - view.heard <= seconds
