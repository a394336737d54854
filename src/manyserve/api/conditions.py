"""Conditions: their types, their reasons, and how one replaces another.

A condition keeps its `lastTransitionTime` until its status flips, so that nothing is written when nothing
changed and users can read since when something holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from manyserve.api.kube_model import KubeModel

Status = Literal["True", "False", "Unknown"]
_KNOWN: dict[str, Status] = {each: each for each in get_args(Status)}

READY = "Ready"
# of a host
PREDICTOR_READY = "PredictorReady"
INGRESS_READY = "IngressReady"
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


def _cut(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda text: text[:limit] if isinstance(text, str) else text)


Message = Annotated[str, _cut(MESSAGE_LIMIT)]
"""One sentence for people, cut when somebody else's error makes it too long."""
Reason = Annotated[str, _cut(REASON_LIMIT)]
"""One word for programs, cut likewise: it may be a pod's, and nobody bounds those."""


def known_status(status: str) -> Status:
    """Return Unknown for a status that is none: another controller may have written it."""
    return _KNOWN.get(status, "Unknown")


class Condition(KubeModel):
    """One condition of an object's status."""

    type: Annotated[str, Field(description="What this condition is about.")]
    status: Annotated[str, Field(description="Whether it holds: True, False or Unknown.")]
    reason: Annotated[Reason | None, Field(description="One word for why, for programs.")] = None
    message: Annotated[Message | None, Field(description="One sentence for why, for people.")] = None
    last_transition_time: Annotated[str | None, Field(description="When the status last flipped.")] = None


@lru_cache(maxsize=4096)
def condition(
    kind: str, status: Status, reason: str | None = None, message: str | None = None, since: str | None = None
) -> Condition:
    """Return a condition: the same one for the same words, for thousands of models say the same."""
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since)


def _shared(own: Condition) -> Condition:
    return condition(own.type, known_status(own.status), own.reason, own.message, own.last_transition_time)


Interned = Annotated[Condition, AfterValidator(_shared)]
"""A condition as it is read: half of what is known of a model would be conditions, were they not shared."""


_KEPT: dict[tuple[int, ...], tuple[Condition, ...]] = {}
_MOST_KEPT = 4096


def _together(own: tuple[Condition, ...]) -> tuple[Condition, ...]:
    if len(_KEPT) >= _MOST_KEPT:
        _KEPT.clear()
    return _KEPT.setdefault(tuple(map(id, own)), own)  # what is kept keeps its conditions, and so their ids


INTERN = AfterValidator(_together)
"""Has conditions be the same tuple for the same words: a comparison that finds nothing else costs nothing."""


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, if it is there."""
    return next((each for each in conditions if each.type == kind), None)


def merge_conditions(old: Iterable[Condition], new: Iterable[Condition], now: datetime) -> tuple[Condition, ...]:
    """Return the new conditions sorted by type, each with the time since which its status holds."""
    before = {each.type: each for each in old}
    return _together(
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


@lru_cache(maxsize=64)  # a plan says the same moment six times for each of its models
def timestamp(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
