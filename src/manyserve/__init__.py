"""Multi-model serving for Kubernetes: one InferenceService runs a server, TrainedModels place models on it."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version of the installed package, or "not installed" in a checkout."""
    try:
        return metadata.version("manyserve")
    except metadata.PackageNotFoundError:
        return "not installed"
