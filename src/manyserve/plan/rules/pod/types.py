"""Types of the values in a pod, with the formats of Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from manyserve.api.quantity import parse_quantity
from manyserve.plan.rules.fields import FieldError, shape_problems

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_LARGEST = 2**31 - 1
_SHOWN = 6
"""Choices that a sentence names."""


class Part(BaseModel):
    """A part of a pod. Values have the types of JSON; further fields are not read."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, frozen=True, extra="ignore")


class OneOf(Part):
    """A part in which one of some fields says what it is."""

    choices: ClassVar[tuple[str, ...]] = ()
    needs_one: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _one_is_given(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()} | set(cls.choices)
        given = [name for name in cls.choices if data.get(name) is not None]
        is_newer = any(value is not None for name, value in data.items() if name not in known)
        if len(given) > 1 or (cls.needs_one and not given and not is_newer):
            number = "exactly one" if cls.needs_one else "at most one"
            further = ", ..." if len(cls.choices) > _SHOWN else ""
            raise ValueError(f"it must have {number} of: {', '.join(cls.choices[:_SHOWN])}{further}")
        return data


def check(is_valid: Callable[[Any], bool], sentence: str) -> AfterValidator:
    """Return a validator with a sentence for other values."""

    def validate(value: Any) -> Any:
        if not is_valid(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(validate)


def _matches(pattern: str, most: int) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: len(text) <= most and compiled.fullmatch(text) is not None


def matching(pattern: str, noun: str) -> AfterValidator:
    """Return a validator for texts of a pattern."""
    compiled = re.compile(pattern)
    return check(lambda text: compiled.fullmatch(text) is not None, f"it must be {noun}")


def is_qualified(text: str) -> bool:
    """Return whether a text is the key of a label: a name, or a domain, a slash and a name."""
    prefix, slash, name = text.rpartition("/")
    has_prefix = not slash or _matches(_SUBDOMAIN, 253)(prefix)
    return has_prefix and _matches(_NAME, 63)(name)


def _is_quantity(value: Any) -> bool:
    try:
        return parse_quantity(value) >= 0
    except ValueError:
        return False


def _is_relative(path: str) -> bool:
    """Return whether a path stays below the folder that it is relative to."""
    return not path.startswith("/") and ".." not in path.split("/")


Label = Annotated[str, check(_matches(_LABEL, 63), "it must be a DNS label, such as my-volume")]
ObjectName = Annotated[
    str, check(_matches(_SUBDOMAIN, 4096), "it must be the name of an object of Kubernetes, such as my-object")
]
"""A name; `rules.sizes` bounds its length."""
LabelKey = Annotated[str, check(is_qualified, "it must be the key of a label, such as example.com/name")]


def is_label_value(text: str) -> bool:
    """Return whether a text is the value of a label."""
    return not text or _matches(_NAME, 63)(text)


LabelValue = Annotated[str, check(is_label_value, "it must be the value of a label, such as fast-1")]
ConfigKey = Annotated[
    str,
    check(
        lambda text: _matches(r"[-._a-zA-Z0-9]+", 253)(text) and text != "." and not text.startswith(".."),
        "it must be a key of a ConfigMap or a Secret, such as settings.json",
    ),
]
SUBSCRIPT = r"metadata\.(labels|annotations)\['[^']+'\]"
"""Path of one label or annotation."""
ResourceField = Annotated[
    str,
    matching(
        r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)",
        "a resource of the container, such as limits.cpu",
    ),
]
PortName = Annotated[
    str,
    check(
        lambda text: _matches(r"[a-z0-9]+(-[a-z0-9]+)*", 15)(text) and not text.isdecimal(),
        "it must be the name of a port, such as http",
    ),
]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, check(bool, "it must not be empty")]
RelativePathOrEmpty = Annotated[str, check(_is_relative, "it must be a relative path without ..")]
RelativePath = Annotated[RelativePathOrEmpty, check(bool, "it must not be empty")]
ImageName = Annotated[str, check(lambda text: text == text.strip(), "it must not have blanks at its beginning or end")]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Number = Annotated[int, Field(ge=-_LARGEST - 1, le=_LARGEST)]
Positive = Annotated[int, Field(ge=1, le=_LARGEST)]
Mode = Annotated[int, Field(ge=0, le=0o777)]
Size = Annotated[str | int, check(_is_quantity, "it must be a quantity, such as 500m, 1 or 2Gi, and not negative")]


def problems(path: str, part: type[BaseModel], data: Any) -> list[FieldError]:
    """Return the errors of a part at a path."""
    try:
        part.model_validate(data)
    except ValidationError as error:
        return shape_problems(path, error)
    return []
