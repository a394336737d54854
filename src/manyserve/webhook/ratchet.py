"""What an update makes wrong, leaving out what was wrong in the same way before.

The API server treats its own schema rules so (it calls it ratcheting): a rule that is newer than an object
must not lock its user out of it.
"""

from __future__ import annotations

from collections.abc import Callable

from manyserve.plan.problem import Problem
from manyserve.webhook.request import Raw, Request


def added(problems_of: Callable[[Raw], list[Problem]], request: Request) -> list[Problem]:
    """Return the problems of the object that the old one did not have."""
    problems = problems_of(request.object)
    if not problems or request.old is None:
        return problems
    before = set(problems_of(request.old))
    return [each for each in problems if each not in before]
