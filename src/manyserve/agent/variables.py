"""Reading settings from the environment: each field of a frozen dataclass names its variables and its parser.

A wrong value is a `ValueError` with one sentence that names the variable, so that a misspelt Deployment ends
at once with a line that a person can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from manyserve.api.addresses import Network

_WORDS = {"1": True, "true": True, "0": False, "false": False}


def path(text: str) -> Path:
    """Return an absolute path."""
    found = Path(text)
    if not found.is_absolute():
        raise ValueError("must be an absolute path")
    return found


def url(text: str) -> str:
    """Return an http or https URL without a slash at its end; without a scheme it is http."""
    found = text if "://" in text else f"http://{text}"
    parts = urlsplit(found)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http or https URL")
    return found.rstrip("/")


def seconds(text: str) -> float:
    """Return a time above 0."""
    value = float(text)
    if not 0 < value < 1e7:
        raise ValueError("must be a number of seconds above 0")
    return value


def count(text: str) -> int:
    """Return a whole number above 0."""
    value = int(text)
    if value < 1:
        raise ValueError("must be a whole number above 0")
    return value


def flag(text: str) -> bool:
    """Return a truth: 1, 0, true, false."""
    if text.lower() not in _WORDS:
        raise ValueError("must be true or false")
    return _WORDS[text.lower()]


def networks(text: str) -> tuple[Network, ...]:
    """Return networks in CIDR form, separated by commas."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def env(variables: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Return how a field is read: from the first of the variables, separated by spaces, that is set."""
    return {"variables": variables.split(), "parse": parse}


def values(cls: Any, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the fields whose variable is set. Raises `ValueError` with a sentence."""
    found: dict[str, Any] = {}
    for each in fields(cls):
        name = next((name for name in each.metadata.get("variables", ()) if environ.get(name)), None)
        if name is None:
            continue
        try:
            found[each.name] = each.metadata["parse"](environ[name])
        except ValueError as error:
            raise ValueError(f"{name}={environ[name]!r} is not valid: {error}") from error
    return found
