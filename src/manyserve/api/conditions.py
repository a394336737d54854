"""Kubernetes conditions: types, reasons, and the merge of new conditions into old ones.

A condition keeps its `lastTransitionTime` until its status flips. So an unchanged condition causes no write, and users
can read the time of the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from manyserve.api.kube_model import KubeModel
from manyserve.redaction import printable

Status = Literal["True", "False", "Unknown"]
_KNOWN: dict[str, Status] = {each: each for each in get_args(Status)}

READY = "Ready"
# of a host
PREDICTOR_READY = "PredictorReady"
INGRESS_READY = "IngressReady"
ROUTER_READY = "RouterReady"
# of a model
FRAMEWORK_SUPPORTED = "FrameworkSupported"
INFERENCE_SERVICE_READY = "InferenceServiceReady"
IS_MMS_PREDICTOR = "IsMMSPredictor"
LOADED = "Loaded"
MEMORY_RESOURCE_AVAILABLE = "MemoryResourceAvailable"

INVALID_SPEC = "InvalidSpec"
"""The reason for an object that breaks a rule."""

MESSAGE_LIMIT = 1024
REASON_LIMIT = 128


TIME_LIMIT = 64
"""Characters of a time; RFC 3339 with nanoseconds has 35."""


def _printable(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda text: printable(text, limit) if isinstance(text, str) else text)


Message = Annotated[str, _printable(MESSAGE_LIMIT)]
"""A sentence for people, truncated and printable, since it may quote an error of another program."""
Reason = Annotated[str, _printable(REASON_LIMIT)]
"""A word for programs, likewise, since it may be the reason of a pod, which has no limit."""

Time = Annotated[str, _printable(TIME_LIMIT)]
"""A time, likewise: any user with the right to write a status may have written it."""


def known_status(status: str) -> Status:
    """Return the status, or Unknown for an invalid one, which another controller may have written."""
    return _KNOWN.get(status, "Unknown")


class Condition(KubeModel):
    """One condition of an object's status."""

    type: Annotated[Reason, Field(description="Type of the condition.")]
    status: Annotated[Reason, Field(description="Status: True, False or Unknown.")]
    reason: Annotated[Reason | None, Field(description="Reason of the status, one word for programs.")] = None
    message: Annotated[Message | None, Field(description="Reason of the status, one sentence for people.")] = None
    last_transition_time: Annotated[Time | None, Field(description="Time of the last change of the status.")] = None


def condition(
    kind: str, status: Status, reason: str | None = None, message: str | None = None, since: str | None = None
) -> Condition:
    """Return an interned condition: the same object for equal arguments, since thousands of models have equal ones."""
    short = None if message is None else printable(message, MESSAGE_LIMIT)
    return _condition(kind, status, None if reason is None else printable(reason, REASON_LIMIT), short, since)


@lru_cache(maxsize=4096)  # of short arguments, so that the cache is bounded in bytes, too
def _condition(kind: str, status: Status, reason: str | None, message: str | None, since: str | None) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since)


def _shared(own: Condition) -> Condition:
    return condition(own.type, known_status(own.status), own.reason, own.message, own.last_transition_time)


Interned = Annotated[Condition, AfterValidator(_shared)]
"""A condition that is interned when it is parsed. Conditions would be half of the bytes of a cached model."""


_INTERNED: dict[tuple[int, ...], tuple[Condition, ...]] = {}
_MAX_INTERNED = 4096


def _interned(own: tuple[Condition, ...]) -> tuple[Condition, ...]:
    if len(_INTERNED) >= _MAX_INTERNED:
        _INTERNED.clear()
    return _INTERNED.setdefault(tuple(map(id, own)), own)  # the tuple holds its conditions, so their ids stay unique


INTERN = AfterValidator(_interned)
"""Interns tuples of conditions, so that the comparison of equal ones is a comparison of identity."""


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, or None."""
    return next((each for each in conditions if each.type == kind), None)


def merge_conditions(old: Iterable[Condition], new: Iterable[Condition], now: datetime) -> tuple[Condition, ...]:
    """Return the new conditions sorted by type, each with its `lastTransitionTime`."""
    before = {each.type: each for each in old}
    return _interned(
        tuple(_timed(before.get(each.type), each, now) for each in sorted(new, key=lambda each: each.type))
    )


def _timed(old: Condition | None, new: Condition, now: datetime) -> Condition:
    if old is None or old.status != new.status or not old.last_transition_time:
        return _since(new, timestamp(now))
    if (old.reason, old.message) == (new.reason, new.message):
        return old
    return _since(new, old.last_transition_time)


def _since(new: Condition, moment: str) -> Condition:
    return condition(new.type, known_status(new.status), new.reason, new.message, moment)


@lru_cache(maxsize=64)  # a plan formats the same time six times for each of its models
def timestamp(moment: datetime) -> str:
    """Format a time as Kubernetes does, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
