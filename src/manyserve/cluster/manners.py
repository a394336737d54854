"""When what is told gives way: to the host's own news, and to users who ask much of the API server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Condition = Callable[[], bool]


def never() -> bool:
    """Say no."""
    return False


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Manners:
    """Asked before each write that can wait."""

    hurry: Condition = never
    """There is news of the host, and `models.json` could be changed for it: the rest is the next plan's."""
    narrow: Condition = never
    """Users are at it this moment, in a crowd: few are written at a time, so that they get on."""
    later: Callable[[], None] = _nothing
    """Told when something was left because users are at it."""
