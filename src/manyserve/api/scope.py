"""Scope: the namespaces in which the operator and the webhook manage objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from manyserve.api.errors import SHOWN

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
STRICT = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid", strict=True, serialize_by_alias=True)
"""Configuration of the parts of a selector: an unknown field or a value of another type is an error."""


class Requirement(BaseModel):
    """One of a selector's `matchExpressions`."""

    model_config = STRICT
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            raise ValueError("In and NotIn need values, Exists and DoesNotExist take none")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels satisfy the requirement. An absent key satisfies NotIn, as in Kubernetes."""
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.key in labels) is (self.operator == "Exists")
        return (labels.get(self.key) in self.values) is (self.operator == "In")


class LabelSelector(BaseModel):
    """A label selector of Kubernetes; an empty one selects everything."""

    model_config = STRICT
    match_labels: dict[str, str] = {}
    match_expressions: list[Requirement] = []

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels satisfy all requirements."""
        return self.match_labels.items() <= labels.items() and all(
            each.matches(labels) for each in self.match_expressions
        )


@dataclass(frozen=True)
class Scope:
    """All namespaces, those of a list, or those with labels that a selector matches."""

    namespaces: tuple[str, ...] = ()
    """Empty: no list."""
    selector: LabelSelector | None = None
    """None: no selector."""


EVERYWHERE = Scope()
"""All namespaces."""


def parse_namespaces(text: str) -> tuple[str, ...]:
    """Parse names of namespaces, separated by commas. Raises `ValueError`."""
    names = tuple(dict.fromkeys(each.strip() for each in text.split(",")))
    for name in names:
        if not _DNS_LABEL.fullmatch(name):
            raise ValueError(f"must be names of namespaces, separated by commas: {name[:SHOWN]!r} is no name")
    return names


def parse_selector(text: str) -> LabelSelector:
    """Parse a label selector in the JSON of Kubernetes. Raises `ValueError`."""
    allowed = "must be a label selector as JSON (matchLabels, matchExpressions)"
    try:
        return LabelSelector.model_validate(json.loads(text))
    except ValidationError as error:
        raise ValueError(f"{allowed}: {_first(error.errors()[0])}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{allowed}: it is no JSON") from None


def _first(error: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    return f"{path}: {error['msg']}" if path else str(error["msg"])
