"""Sentence of a host about a new pod that is not ready because a model fails there.

The sentence has no attempt and no time of a retry. A retry with the same error therefore writes no status.
"""

from __future__ import annotations

from manyserve.plan.observed import Observed
from manyserve.plan.rollout import failing_models

MODEL_FAILS = "ModelFailsOnNewPod"


def model_problem(observed: Observed) -> tuple[str, str] | None:
    """Return the reason and the sentence about the first new pod, by name, that waits for a failing model."""
    for pod in observed.replicas:
        failing = {} if pod.report is None or pod.report.settled else failing_models(pod, observed.replicas)
        if failing:
            name, report = next(iter(failing.items()))
            models = f"model {name}" if len(failing) == 1 else f"{len(failing)} models, such as {name}"
            bound = f"waits for {models} for at most {observed.config.rollout.model_timeout}"
            return MODEL_FAILS, f"pod {pod.name} {bound}: it answers on other pods and fails here: {report.message}"
    return None
