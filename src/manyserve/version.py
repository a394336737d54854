"""The version of the installed package."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version, or a placeholder when the package runs from a checkout."""
    try:
        return metadata.version("manyserve")
    except metadata.PackageNotFoundError:
        return "not installed"
