"""Ensembles: models of Triton with steps, which are other models of the host.

Triton loads the steps of an ensemble with it, also those that are not desired. So an ensemble is loaded only while all
of its steps are loaded. Triton itself unloads an ensemble when a step is unloaded.
"""

from __future__ import annotations

import asyncio

from manyserve.agent.concurrency import in_thread
from manyserve.agent.job import Job
from manyserve.agent.reconcile import has_loaded_files
from manyserve.agent.retry import RetryState
from manyserve.agent.servers import LoadRejectedError
from manyserve.agent.state import AgentState

_POLL_SECONDS = 0.1


class MissingStepError(LoadRejectedError):
    """A step of an ensemble is not loaded."""

    def __init__(self, sentence: str, step: str) -> None:
        super().__init__(sentence)
        self.step = step


async def wait_for_steps(job: Job) -> None:
    """Wait until the server has loaded the steps of the files on disk. Raises `MissingStepError` when it will not."""
    state = job.context.state
    steps = await _read_steps(job)
    while not job.is_superseded and state.index is not None:
        step = _first_missing(steps, state)
        if step is None:
            return
        if sentence := _failure(job.name, step, state):
            raise MissingStepError(sentence, step)
        job.set_note(f"waits for its step {step}")
        await asyncio.sleep(_POLL_SECONDS)


async def check_steps(job: Job) -> None:
    """Raise `MissingStepError` unless the server has loaded all steps of the files on disk."""
    step = _first_missing(await _read_steps(job), job.context.state)
    if step is not None:
        raise MissingStepError(f"its step {step} is not loaded", step)


async def _read_steps(job: Job) -> tuple[str, ...]:
    context = job.context
    steps = await in_thread(context.server.steps, context.store.models / job.name)
    context.state.steps[job.name] = steps
    return steps


def _first_missing(steps: tuple[str, ...], state: AgentState) -> str | None:
    observed = state.observed
    return next((step for step in steps if not has_loaded_files(step, observed)), None)


def _failure(name: str, step: str, state: AgentState) -> str:
    """Return the sentence about a step that the ensemble cannot wait for; empty if it can."""
    entry = state.desired.get(step)
    if _reaches(step, name, state):
        return f"its step {step} has it as a step"
    if entry is None:
        return f"its step {step} is not a TrainedModel of this host"
    if state.retries.get(step, RetryState(entry.digest)).for_digest(entry.digest).failed:
        return f"its step {step} is not loaded"
    return ""


def _reaches(step: str, name: str, state: AgentState) -> bool:
    """Return whether the model is the step, or one of the step's own steps."""
    pending, seen = [step], set[str]()
    while pending:
        current = pending.pop()
        if current == name:
            return True
        if current not in seen:
            seen.add(current)
            pending += state.steps.get(current, ())
    return False
