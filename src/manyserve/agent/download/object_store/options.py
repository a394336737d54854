"""What decides how a store is opened, as a value: equal options share one store and its connections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from manyserve.agent.download.base import DownloadError

_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class StoreOptions:
    """One bucket and how it is reached. The repr leaves out all that may be secret."""

    kind: str
    bucket: str
    config: tuple[tuple[str, str | bool], ...] = field(repr=False)
    """For the store, in obstore's words."""
    endpoint: str = ""
    """Of one's own; empty is the cloud's."""
    foreign: bool = False
    """The endpoint was named by a secret: not every address is allowed."""
    verify_tls: bool = True
    certificates: str = ""
    """PEM, to be trusted besides the system's."""

    @classmethod
    def of(cls, kind: str, bucket: str, config: Mapping[str, str | bool | None], **rest: object) -> Self:
        """Return options; what is None or empty is left out of the config."""
        said = {key: value for key, value in config.items() if value not in (None, "")}
        return cls(kind, bucket, tuple(sorted(said.items())), **rest)  # type: ignore[arg-type]


def truth(values: Mapping[str, str], key: str, otherwise: bool | None) -> bool | None:  # noqa: FBT001 (a value)
    """Return a truth that a secret tells. Raises `DownloadError` when it is none."""
    text = values.get(key, "")
    if text and text.lower() not in _TRUTHS:
        sentence = f"the key {key} of a secret must be one of {', '.join(_TRUTHS)}"
        raise DownloadError(sentence, reason="credentials", permanent=True)
    return _TRUTHS[text.lower()] if text else otherwise


def formed(text: str, form: str, what: str) -> str:
    """Return a text of a secret that becomes part of a URL. Raises `DownloadError` when it could be more than that."""
    if text and not re.fullmatch(form, text, re.ASCII):
        raise DownloadError(f"{what} that a secret names is not one", reason="credentials", permanent=True)
    return text


def first(values: Mapping[str, str], keys: Sequence[str]) -> str:
    """Return the first value that is there; empty when none is."""
    return next((values[key] for key in keys if values.get(key)), "")
