"""Rules about the content of a model: the size of its files, and what its model server says about them.

A new model that breaks a rule is refused. A model that was placed before the rules keeps its place, with a warning, and
so does a loaded model with a lower memory since. `contentRules` in `models.json` is the version of the rules that held
when the model was placed. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from manyserve.agent.servers.base import RefusedFilesError
from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import format_memory, parse_memory

REASON = "content"
"""The label of the metric."""


class Content(NamedTuple):
    """The content of a model's files, as far as rules are about it."""

    size: int = 0
    """Bytes of all files."""
    problem: str = ""
    """Sentence about what is refused in a new model, beside the size."""


def refuse_new(entry: Entry, content: Content) -> None:
    """Raise `RefusedFilesError` for a new model with this content."""
    if entry.model_spec.content_rules and (error := content_error(entry, content)):
        raise RefusedFilesError(error)


def content_error(entry: Entry, content: Content) -> str:
    """Return the sentence about content that breaks a rule; empty for none."""
    return size_error(entry, content.size) or content.problem


def size_error(entry: Entry, size: int) -> str:
    """Return the sentence about files that are larger than the declared memory; empty if they are not."""
    try:
        declared = parse_memory(entry.model_spec.memory)
    except ValueError:
        return ""
    if size <= declared:
        return ""
    return (
        f"its files have {format_memory(size)} ({size} bytes), more than the declared memory of "
        f"{format_memory(declared)} (spec.model.memory)"
    )


def warning(entry: Entry, content: Content) -> str:
    """Return the sentence about a loaded model with content that is refused in a new one; empty for none."""
    error = content_error(entry, content)
    if not error:
        return ""
    effect = "a new pod refuses it" if entry.model_spec.content_rules else "it is served, and a new model is refused"
    return f"{error}; {effect}"
