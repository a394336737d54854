"""Version of the installed package."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version, or "not installed" in a checkout."""
    try:
        return metadata.version("manyserve")
    except metadata.PackageNotFoundError:
        return "not installed"
