"""What every program takes from its environment: the values of variables, and its own version.

Each reader of a value raises `ValueError` with what the value must be; the caller adds the variable's name.
"""

from __future__ import annotations

from importlib import metadata

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def port(text: str) -> int:
    """Return a port."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError("must be a port, 1 to 65535")
    return int(text)


def flag(text: str) -> bool:
    """Return yes or no."""
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def level(text: str) -> str:
    """Return a log level, in capitals."""
    if text.upper() not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return text.upper()


def version() -> str:
    """Return the version of the program."""
    try:
        return metadata.version("manyserve")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "not installed"
