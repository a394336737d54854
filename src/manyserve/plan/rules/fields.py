"""Errors of fields as sentences for users, and the rules for unknown and unsupported fields.

An error has the path of the field, the value, and the allowed values. Echoed values are cut and printable, since
anyone may write them and they end up in terminals and logs. The CRDs preserve unknown fields, so the API server would
store a misspelt one without effect. So each is refused by its path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple

from pydantic import ValidationError

from manyserve.api.inferenceservice import FRAMEWORKS, InferenceService
from manyserve.api.pod import ContainerFields, PodFields
from manyserve.api.trainedmodel import TrainedModel
from manyserve.api.unsupported import UNSUPPORTED

SHOWN_LIMIT = 64
_VALIDATORS = ("function-", "constrained-", "literal[")
_SCHEMA_PARTS = ("str", "int", "[key]")
"""Parts of a location that name a type or the key of a map, not a field."""
UNKNOWN_SENTENCE = "is not a field that manyserve knows; it must be left out, or be one that kubectl explain lists"

_UNSUPPORTED: dict[tuple[str, str], str] = {(field.level, field.name): field.sentence for field in UNSUPPORTED}
_OF_POD = frozenset(field.alias or name for name, field in PodFields.model_fields.items())
_OF_SERVER = frozenset(field.alias or name for name, field in ContainerFields.model_fields.items())
_SERVER = re.compile(rf"spec\.predictor\.(?:{'|'.join(FRAMEWORKS)}|model|containers\[[0-9]+\])")


class FieldError(NamedTuple):
    """Error of one field: its path, and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def quoted(value: Any) -> str:
    """Return the form of a value for a message: cut, quoted, printable, on one line."""
    if isinstance(value, str):
        return repr(value[:SHOWN_LIMIT]) + ("..." if len(value) > SHOWN_LIMIT else "")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)[:SHOWN_LIMIT]
    return "a list" if isinstance(value, list | tuple) else "an object"


def quoted_uri(uri: str) -> str:
    """Return the form of a URI for a message: without user name, password, query and fragment, which may be secret."""
    bare = re.split(r"[?#]", uri, maxsplit=1)[0]
    scheme, separator, rest = bare.rpartition("://")
    return quoted(f"{scheme.rpartition('@')[2]}{separator}{rest.rpartition('@')[2]}")


def too_long(value: Sized, most: int) -> str:
    """Return the sentence for a text or a list that is too long. Texts are not echoed, since any may hold a secret."""
    kind, unit = ("text", "characters") if isinstance(value, str) else ("list", "items")
    return f"a {kind} of {len(value)} {unit} is not allowed; it must have at most {most} {unit}"


def shape_problems(path: str, error: ValidationError) -> list[FieldError]:
    """Convert the errors of pydantic about the part of an object at `path`; the first error of each field counts."""
    errors: dict[str, FieldError] = {}
    for details in error.errors(include_url=False):
        field = _join(path, details["loc"])
        errors.setdefault(field, FieldError(field, _sentence(details["type"], details["msg"], details.get("input"))))
    return list(errors.values())


def _join(path: str, location: Iterable[int | str]) -> str:
    parts = list(location)
    if parts and (parts[-1] in _SCHEMA_PARTS or str(parts[-1]).startswith(_VALIDATORS)):
        parts.pop()
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{str(part)[:SHOWN_LIMIT]}"
    return path if path.isprintable() else ascii(path)


def _sentence(kind: str, message: str, value: Any) -> str:
    """Convert a message of pydantic. Texts are not echoed, since any may hold a secret."""
    if kind == "missing":
        return "is missing; it must be given"
    allowed = re.sub(
        r"^(Input|String|Tuple|List|Value) (should|must)", "it must", message.removeprefix("Value error, ")
    )
    shown = f"a text of {len(value)} characters" if isinstance(value, str) else quoted(value)
    return f"{shown} is not allowed; {allowed}"


def host_fields_are_known(host: InferenceService) -> Iterator[FieldError]:
    """Refuse unknown fields, and those of KServe that are not supported yet."""
    for path in host.unknown_fields:
        parent, _, name = path.rpartition(".")
        sentence = _UNSUPPORTED.get((_level(parent), name))
        if sentence is not None:
            yield FieldError(path, f"{path if parent == 'spec' else name} {sentence}")
        else:
            yield FieldError(path, _misplaced(host, parent, name) or UNKNOWN_SENTENCE)


def model_fields_are_known(model: TrainedModel) -> Iterator[FieldError]:
    """Refuse unknown fields."""
    for path in model.unknown_fields:
        yield FieldError(path, UNKNOWN_SENTENCE)


def _misplaced(host: InferenceService, parent: str, name: str) -> str | None:
    """Return the sentence for a field of the container on the pod, or of the pod on the container."""
    level, field = _level(parent), host.spec.predictor.field
    if level == "predictor" and name in _OF_SERVER and field:
        return f"is a field of the container; it must be spec.predictor.{field}.{name}"
    if level == "server" and name in _OF_POD:
        return f"is a field of the pod; it must be spec.predictor.{name}"
    return None


def _level(parent: str) -> str:
    if parent == "spec":
        return parent
    if parent == "spec.predictor":
        return "predictor"
    return "server" if _SERVER.fullmatch(parent) else ""
