"""Base classes of the types of Kubernetes objects.

Fields are snake_case in Python and camelCase on the wire. Parsing is lenient: types have no bounds and no patterns,
since rules are in `plan/rules/`. `RawObject` is a part of an object that is passed on unparsed, such as an affinity.

An unknown field is dropped from the parsed object. The CRDs preserve it, so a misspelt one is stored. A whole object
carries the paths of such fields. The walk that finds them follows the types and stops at raw parts, which Kubernetes
checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

RawObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]

WIRE = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", serialize_by_alias=True)

MOST = 100
"""Paths that an object carries at most."""
_NAME_LIMIT = 64
_OWNER_LIMIT = 1024
"""Characters of an owner reference that is interned; longer ones are not kept for others."""


class KubeModel(BaseModel):
    """A frozen part of an object, camelCase on the wire."""

    model_config = WIRE

    def to_wire(self) -> dict[str, Any]:
        """Serialize to the JSON form, without unset fields."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """Parse the JSON form. Raises `pydantic.ValidationError`."""
        return cls.model_validate(data)


_NONE: set[str] = set()


class CompactModel(KubeModel):
    """Base class of types with tens of thousands of instances: no record of the fields that were set.

    pydantic has a set for that in each instance. The sets of a model's six parts are half of the bytes of the model.
    """

    def model_post_init(self, _context: Any) -> None:
        """Share one empty set. This is safe: instances are frozen, and a copy gets a set of its own."""
        object.__setattr__(self, "__pydantic_fields_set__", _NONE)


@lru_cache(maxsize=4096)
def _owner(*fields: tuple[str, Any]) -> dict[str, Any]:
    return dict(fields)


def _shared(own: dict[str, Any]) -> dict[str, Any]:
    if sum(len(each) for part in own.items() for each in part if isinstance(each, str)) > _OWNER_LIMIT:
        return own
    try:
        return _owner(*own.items())
    except TypeError:  # a value cannot be hashed; the API server would have refused it
        return own


Owner = Annotated[dict[str, Any], AfterValidator(_shared)]
"""An owner reference, interned: equal ones are the same dictionary, which must not be changed."""


class Meta(CompactModel):
    """The fields of `metadata` that are read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    owner_references: tuple[Owner, ...] = ()


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
