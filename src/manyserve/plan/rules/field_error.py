"""What is wrong with an object, as a sentence for its user.

A problem names the field by its path, what was found there, and what is allowed. Values are echoed cut and
printable, because they come from anyone and end up in terminals and logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sized
from typing import Any, NamedTuple

from pydantic import ValidationError

SHOWN_LIMIT = 64
_UNION_MEMBERS = ("str", "int")


class FieldError(NamedTuple):
    """One thing that is wrong: where, and the sentence about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def quoted(value: Any) -> str:
    """Return a value as it may be echoed: cut, quoted, printable, on one line."""
    if isinstance(value, str):
        return repr(value[:SHOWN_LIMIT]) + ("..." if len(value) > SHOWN_LIMIT else "")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)[:SHOWN_LIMIT]
    return "a list" if isinstance(value, list | tuple) else "an object"


def quoted_uri(uri: str) -> str:
    """Return a URI as it may be echoed: without user name, password, query and fragment, which may be secret."""
    bare = re.split(r"[?#]", uri, maxsplit=1)[0]
    scheme, separator, rest = bare.rpartition("://")
    return quoted(f"{scheme.rpartition('@')[2]}{separator}{rest.rpartition('@')[2]}")


def too_long(value: Sized, most: int) -> str:
    """Return the sentence for a text or a list that is too long; texts are not echoed, for any may hold a secret."""
    what, unit = ("text", "characters") if isinstance(value, str) else ("list", "items")
    return f"a {what} of {len(value)} {unit} is not allowed; it must have at most {most} {unit}"


def shape_problems(path: str, error: ValidationError) -> list[FieldError]:
    """Return what pydantic found in the part of an object that stands at `path`."""
    found: dict[str, FieldError] = {}
    for each in error.errors(include_url=False):
        where = _join(path, each["loc"])
        found.setdefault(where, FieldError(where, _sentence(each["type"], each["msg"], each.get("input"))))
    return list(found.values())


def _join(path: str, location: Iterable[int | str]) -> str:
    parts = list(location)
    if parts and parts[-1] in _UNION_MEMBERS:
        parts.pop()
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{str(part)[:SHOWN_LIMIT]}"
    return path if path.isprintable() else ascii(path)


def _sentence(kind: str, message: str, value: Any) -> str:
    """Say what pydantic found; texts are not echoed here, since any of them may hold a secret."""
    if kind == "missing":
        return "is missing; it must be given"
    allowed = re.sub(r"^(Input|String|Tuple|List|Value) (should|must)", "it must", message)
    found = f"a text of {len(value)} characters" if isinstance(value, str) else quoted(value)
    return f"{found} is not allowed; {allowed}"
