"""Settings of the fuzz tests: by default each run has the same examples, so that no run fails by chance.

`MANYSERVE_FUZZ=5000 pytest tests/fuzz` tries that many random examples of each property. A failure prints the line
`@reproduce_failure(...)`, which repeats this example when it is put above the test. Only such a run shrinks it,
which takes minutes for the snapshot of a whole host.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

_MORE = int(os.environ.get("MANYSERVE_FUZZ", "0"))


def sentence_of(read: Callable[[Any], object], value: object, kind: type[Exception]) -> str | None:
    """Return the sentence that refuses a value, or None when it is accepted; any other exception is a defect."""
    try:
        read(value)
    except kind as error:
        return str(error)
    return None


def tried(examples: int) -> settings:
    """Return the settings of a property for this number of examples."""
    return settings(
        deadline=None,
        derandomize=not _MORE,
        max_examples=_MORE or examples,
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if _MORE else [])],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
