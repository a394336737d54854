"""Paths of fields in an InferenceService."""

from __future__ import annotations

from manyserve.api.inferenceservice import InferenceService


def server_path(host: InferenceService) -> str:
    """Return the path of the server's field."""
    return f"spec.predictor.{host.spec.predictor.field or 'triton'}"
