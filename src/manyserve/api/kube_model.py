"""Base classes of the types of Kubernetes objects.

Fields are snake_case in Python and camelCase on the wire. Parsing is lenient: types have no bounds and no patterns,
since rules are in `plan/rules/`. An unknown field is dropped (`unknown_fields` finds it). `RawObject` is a part of an
object that is passed on unparsed, such as an affinity.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from pydantic.alias_generators import to_camel

RawObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]

WIRE = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", serialize_by_alias=True)


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
