"""The base of every type that stands in a Kubernetes object.

Fields are snake_case here and camelCase on the wire. Reading is lenient: a type has no bounds and no patterns,
those are rules in `plan/`, and a field that it does not know is left out (`unknown_fields` finds it).
`Opaque` is a part of an object that we hand on without looking inside, such as an affinity.
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
        """Return the JSON form, without the fields that are unset."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """Parse the JSON form. Raises `pydantic.ValidationError`."""
        return cls.model_validate(data)


_NONE: set[str] = set()


class CompactModel(KubeModel):
    """One of which there are tens of thousands: it does not remember which of its fields were given.

    pydantic keeps a set for that in each; those of a model's six parts are half of what the model takes.
    """

    def model_post_init(self, _context: Any) -> None:
        """Give them all the same set: nobody changes what is frozen, and a copy has its own."""
        object.__setattr__(self, "__pydantic_fields_set__", _NONE)


@lru_cache(maxsize=4096)
def _owner(*fields: tuple[str, Any]) -> dict[str, Any]:
    return dict(fields)


def _shared(own: dict[str, Any]) -> dict[str, Any]:
    try:
        return _owner(*own.items())
    except TypeError:  # something in it has no hash: the API server would have refused it
        return own


Owner = Annotated[dict[str, Any], AfterValidator(_shared)]
"""An owner reference as it is read, the same one for all that have it. Not to be changed."""


class Meta(CompactModel):
    """The part of `metadata` that we read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    owner_references: tuple[Owner, ...] = ()
