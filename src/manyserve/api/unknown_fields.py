"""Detection of fields that are not in the types.

The CRDs preserve unknown fields, so a misspelt one is stored. The walk follows the types and stops at raw parts, which
Kubernetes checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from manyserve.api.kube_model import KubeModel

MOST = 100
"""Paths that an object carries at most."""
_NAME_LIMIT = 64


class Whole(KubeModel):
    """Base class of whole objects, which carry the paths of the unknown fields of their spec."""

    unknown_fields: Annotated[SkipJsonSchema[tuple[str, ...]], Field(exclude=True)] = ()

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """Parse the JSON form. Raises `pydantic.ValidationError`."""
        if not isinstance(data, dict):
            return super().from_wire(data)
        paths = carried(cls, data.get("spec"))
        return super().from_wire({**data, "unknownFields": paths} if paths else data)


def carried(kind: type[Whole], spec: Any) -> tuple[str, ...]:
    """Return the paths of the first `MOST` unknown fields of a spec."""
    return tuple(path for path, _ in islice(unknown_fields(kind, spec), MOST))


def unknown_fields(kind: type[Whole], spec: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and value of each field of a spec that is not in the type and not null, in their order."""
    part = _parts(kind).get("spec")
    if part is not None and isinstance(spec, dict):
        yield from _unknown(part, spec, "spec")


def _unknown(kind: type[BaseModel], data: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    known = _parts(kind)
    for name, value in data.items():
        if name not in known:
            if value is not None:
                yield _path(path, name), value
        elif (part := known[name]) is not None:
            if isinstance(value, dict):
                yield from _unknown(part, value, f"{path}.{name}")
            elif isinstance(value, list):
                inner = ((index, each) for index, each in enumerate(value) if isinstance(each, dict))
                for index, each in inner:
                    yield from _unknown(part, each, f"{path}.{name}[{index}]")


@cache
def _parts(kind: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return the fields of a type by their names on the wire, each with its pydantic type if it has one."""
    return {field.alias or name: _part(field.annotation) for name, field in kind.model_fields.items()}


def _part(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _part(each)) is not None), None)


def _path(path: str, name: str) -> str:
    """Return a path that is safe in a message: truncated, printable, on one line."""
    short = name[:_NAME_LIMIT]
    return f"{path}.{short if short.isprintable() else ascii(short)}"
