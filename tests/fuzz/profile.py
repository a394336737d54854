"""How much is tried: the same examples in each run, so that nothing is red by chance, and more when asked.

`MANYSERVE_FUZZ=5000 pytest tests/fuzz` tries that many examples of each property, others each time. What fails is
printed with the line `@reproduce_failure(...)`, which brings exactly that example back, above the test. Only then is
it made smaller, which takes minutes for a picture of a whole host.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

_MORE = int(os.environ.get("MANYSERVE_FUZZ", "0"))


def sentence_of(read: Callable[[Any], object], value: object, kind: type[Exception]) -> str | None:
    """Return with what a value is refused, None when it is taken; any other exception is a defect."""
    try:
        read(value)
    except kind as error:
        return str(error)
    return None


def tried(examples: int) -> settings:
    """Return the settings of a property of which so many examples are tried."""
    return settings(
        deadline=None,
        derandomize=not _MORE,
        max_examples=_MORE or examples,
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if _MORE else [])],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
