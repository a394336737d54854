"""Wire format between agents and routers: the long poll `/routes`, the counters `/traffic`, and `pods.json`.

`GET /routes?router=ID&instance=I&have=R1&seen=R2&wait=SECONDS` answers when the agent has a revision after `have`, or
when the wait is over. `have` is the last revision that the router received, and `seen` the last one that its Envoy
acknowledged. Both count only with the instance of the running agent. An answer without `models` means no change.
`DELETE /routes?router=ID` ends the router's part in acknowledgements.

`GET /traffic` answers with counters since the start of the model server. A model without an entry has no counters,
which is not the same as counters of 0. A loaded model of a server that counts from the first request on has 0 before.

The answers may come from any process that holds a pod's address, so each reader bounds them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import from_json, to_json

from manyserve.api.agentreport import LONGEST_NAME, LONGEST_WORD
from manyserve.api.kube_model import KubeModel
from manyserve.api.modelconfig import MAX_ENTRIES

MAX_BYTES = 8 * 1024 * 1024
"""Bytes of the longest answer: 32,000 models of the longest names have so many."""
MAX_COUNT = 2**63 - 1
"""Largest revision, and largest counter."""
MAX_PODS = 1000
"""Pods of one host."""
MAX_WAIT = 10.0
"""Seconds of the longest poll of `/routes`; an agent's answer is awaited for less than the 5 s of silence."""
ROUTER_ID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]{0,62}")
"""Name of a router: the UID of its pod. A restarted container keeps it."""
MODEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class RouteState(StrEnum):
    """State of a model on one pod, as routers see it. Only `LOADED` is routed."""

    PENDING = "Pending"
    LOADING = "Loading"
    LOADED = "Loaded"
    LEAVING = "Leaving"
    """The entry is gone, and the model is unloaded once the routers have acknowledged it."""
    EVICTING = "Evicting"
    """The entry stays, and the model is unloaded likewise."""
    COLD = "Cold"
    FAILED = "Failed"


_STATES: Mapping[Any, RouteState] = {state.value: state for state in RouteState}


@dataclass(frozen=True, slots=True)
class Routes:
    """Answer of `/routes`. `models` is None when nothing has changed since the revision that the router has."""

    instance: str
    revision: int
    models: Mapping[str, RouteState] | None = None

    def to_json(self) -> bytes:
        """Serialize the answer."""
        models = {} if self.models is None else {"models": self.models}
        return to_json({"instance": self.instance, "revision": self.revision, **models})


def read_routes(body: bytes) -> Routes:
    """Parse an answer of `/routes`. A state that is not known counts as `Pending`. Raises `ValueError`."""
    data = from_json(body)
    if not isinstance(data, dict):
        raise ValueError(f"the routes must be a JSON object, not {type(data).__name__}")
    instance, revision, models = data.get("instance"), data.get("revision"), data.get("models")
    if not isinstance(instance, str) or not 0 < len(instance) <= LONGEST_WORD:
        raise ValueError(f"instance must be a text of 1 to {LONGEST_WORD} characters")
    if not isinstance(revision, int) or not 0 < revision <= MAX_COUNT:
        raise ValueError("revision must be a whole number above 0")
    return Routes(instance, revision, None if models is None else _models(models))


def _models(models: Any) -> dict[str, RouteState]:
    if not isinstance(models, dict) or len(models) > MAX_ENTRIES:
        raise ValueError(f"models must be an object of at most {MAX_ENTRIES} names")
    for name in models:
        if len(name) > LONGEST_NAME or not MODEL_NAME.fullmatch(name):
            raise ValueError(f"{name[:64]!r} is no name of a model: lower-case letters, digits and hyphens are allowed")
    return {name: _STATES.get(str(state), RouteState.PENDING) for name, state in models.items()}


Counter = Annotated[int, Field(ge=0, le=MAX_COUNT)]


class ModelTraffic(KubeModel):
    """Counters of one model on one pod, since the start of its server."""

    requests: Annotated[Counter, Field(description="Answered requests, with those that failed.")]
    busy_micros: Annotated[Counter, Field(description="Sum of the durations of requests, in microseconds.")]
    pending: Annotated[
        Counter | None, Field(description="Requests that wait now; unset where the server has no count.")
    ] = None


class Traffic(KubeModel):
    """Answer of `/traffic`."""

    instance: Annotated[str, Field(max_length=LONGEST_WORD, description="Random, new at each start of the agent.")]
    counted: Annotated[bool, Field(description="The server has counters of requests by model.")]
    models: Annotated[
        dict[Annotated[str, Field(max_length=LONGEST_NAME)], ModelTraffic],
        Field(max_length=MAX_ENTRIES, description="Each model with counters, by its name."),
    ] = {}


def _address(text: str) -> str:
    """Return the address in its canonical form. Raises `ValueError`."""
    return str(ip_address(text))


class Pod(KubeModel):
    """One pod of a heterogeneous host."""

    uid: Annotated[str, Field(min_length=1, max_length=LONGEST_WORD)]
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    ip: Annotated[str, Field(max_length=64), AfterValidator(_address)]
    shard: Annotated[int, Field(ge=0, lt=MAX_PODS)]


_PODS = TypeAdapter(Annotated[tuple[Pod, ...], Field(max_length=MAX_PODS)])


def read_pods(text: bytes) -> tuple[Pod, ...]:
    """Parse `pods.json`. Raises `ValueError`, also for two pods with one UID or one address."""
    pods = _PODS.validate_json(text)
    for key in ("uid", "ip"):
        if len({getattr(pod, key) for pod in pods}) < len(pods):
            raise ValueError(f"two pods have the same {key}")
    return pods
