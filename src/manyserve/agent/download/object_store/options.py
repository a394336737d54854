"""Options of a store. Equal options share one store and its connections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from manyserve.agent.download.base import DownloadError

_BOOLS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class StoreOptions:
    """The options of one bucket. The repr has no field that may be secret."""

    kind: str
    bucket: str
    config: tuple[tuple[str, str | bool], ...] = field(repr=False)
    """The configuration for obstore."""
    endpoint: str = ""
    """A custom endpoint; empty is the cloud's."""
    has_user_endpoint: bool = False
    """The endpoint comes from a secret or an annotation, so its addresses are checked."""
    verify_tls: bool = True
    certificates: str = ""
    """Trusted certificates besides the system's, as PEM."""

    @classmethod
    def of(cls, kind: str, bucket: str, config: Mapping[str, str | bool | None], **rest: object) -> Self:
        """Return options. Values that are None or empty are left out of the config."""
        present = {key: value for key, value in config.items() if value not in (None, "")}
        return cls(kind, bucket, tuple(sorted(present.items())), **rest)  # type: ignore[arg-type]


def parse_bool(values: Mapping[str, str], key: str, default: bool | None) -> bool | None:  # noqa: FBT001 (a value)
    """Return a boolean in a Secret. Raises `DownloadError` for any other value."""
    text = values.get(key, "")
    if text and text.lower() not in _BOOLS:
        sentence = f"the key {key} of a secret must be one of {', '.join(_BOOLS)}"
        raise DownloadError(sentence, reason="credentials", permanent=True)
    return _BOOLS[text.lower()] if text else default


def validated(text: str, pattern: str, name: str) -> str:
    """Return a value in a Secret that becomes part of a URL. Raises `DownloadError` when it does not match."""
    if text and not re.fullmatch(pattern, text, re.ASCII):
        raise DownloadError(f"{name} that a secret names is not one", reason="credentials", permanent=True)
    return text


def first_value(values: Mapping[str, str], keys: Sequence[str]) -> str:
    """Return the first value that is not empty; empty when there is none."""
    return next((values[key] for key in keys if values.get(key)), "")
