"""Activator: the answer to requests for models without an endpoint. It holds none of them yet. Pure.

A model that no agent names is unknown. Right after a start, or while an agent is silent, that is not certain, and the
answer is 503 like that for a model that is not loaded yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from manyserve.api.routes import RouteState
from manyserve.router.state import RouterState

RETRY_AFTER_SECONDS = 5
_MODEL = re.compile(r"/v[12]/models/([^/:?]+)")
_SENTENCES: Mapping[RouteState, str] = {
    RouteState.LOADED: "is loaded, and its route is not in force yet",
    RouteState.LOADING: "is being loaded",
    RouteState.PENDING: "waits to be loaded",
    RouteState.FAILED: "could not be loaded; its TrainedModel has the reason",
    RouteState.COLD: "is not loaded",
    RouteState.EVICTING: "is being unloaded",
    RouteState.LEAVING: "is being removed",
}
"""The first of these states on any pod decides the sentence."""


@dataclass(frozen=True)
class Answer:
    """Status of HTTP, and one sentence."""

    status: int
    sentence: str

    @property
    def is_unknown(self) -> bool:
        """Whether the model does not exist."""
        return self.status == 404


def model_of(path: str) -> str:
    """Return the model in the path of a request; empty without one."""
    found = _MODEL.match(path)
    return found[1] if found else ""


def answer(model: str, state: RouterState, now: float) -> Answer:
    """Return the answer to a request for a model."""
    if state.is_unknown(model, now):
        return Answer(404, f"there is no model {model[:253]} on this host")
    states = state.states(model)
    for each, sentence in _SENTENCES.items():
        if each in states:
            return Answer(503, f"the model {model} {sentence}")
    return Answer(503, f"the model {model[:253]} is not known yet")
