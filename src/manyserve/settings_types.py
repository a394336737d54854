"""Types of settings. Each has a parser of text, which raises `ValueError` with the allowed values."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from manyserve.api.address_policy import Network

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
Number = TypeVar("Number", int, float)
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
_MAX_SECONDS = 1e7


def port(text: str) -> int:
    """Parse a TCP port."""
    number = _number(int, text) if text.isascii() and text.isdecimal() else None
    if number is None or not 0 < number < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return number


def flag(text: str) -> bool:
    """Parse a boolean, in upper or lower case."""
    if text.lower() not in _FLAGS:
        raise ValueError("must be true or false (or 1 or 0)")
    return _FLAGS[text.lower()]


def level(text: str) -> str:
    """Parse a log level, in upper or lower case."""
    if text.upper() not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return text.upper()


def count(text: str) -> int:
    """Parse a whole number above 0."""
    number = _number(int, text)
    if number is None or number < 1:
        raise ValueError("must be a whole number above 0")
    return number


def seconds(text: str) -> float:
    """Parse a duration in seconds."""
    number = _number(float, text)
    if number is None or not 0 < number < _MAX_SECONDS:
        raise ValueError(f"must be a number of seconds above 0 and below {_MAX_SECONDS:.0f}")
    return number


def path(text: str) -> Path:
    """Parse an absolute path."""
    if not Path(text).is_absolute():
        raise ValueError("must be an absolute path")
    return Path(text)


def folder(text: str) -> Path:
    """Parse the path of a folder that exists."""
    if not Path(text).is_dir():
        raise ValueError("must be a folder that exists")
    return Path(text)


def url(text: str) -> str:
    """Parse an http or https URL. The default scheme is http, and a trailing slash is dropped."""
    full = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(full)
        is_valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("must be an http or https URL")
    return full.rstrip("/")


def networks(text: str) -> tuple[Network, ...]:
    """Parse networks in CIDR form, separated by commas."""
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"must be networks in CIDR form, separated by commas: {error}") from None


def listed(text: str) -> tuple[str, ...]:
    """Parse names, separated by commas."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def one_of(*names: str) -> BeforeValidator:
    """Return the validator of a name from a list."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text

    return from_text(parse)


def from_text(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return the validator that parses a text; pydantic validates other values."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


Port = Annotated[int, from_text(port)]
Flag = Annotated[bool, from_text(flag)]
Count = Annotated[int, from_text(count)]
Seconds = Annotated[float, from_text(seconds)]
AbsolutePath = Annotated[Path, from_text(path)]
Folder = Annotated[Path, from_text(folder)]
Url = Annotated[str, from_text(url)]
Names = Annotated[tuple[str, ...], from_text(listed)]
Networks = Annotated[tuple[Network, ...], from_text(networks)]
LogLevel = Annotated[str, from_text(level)]


def _number(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None
