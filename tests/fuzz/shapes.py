"""Random JSON, and random structures for any type of `api`, derived from its annotations.

`right(kind)` draws structures that the type allows, so that most of them parse. `near(kind)` has any JSON in some
places. New fields and types are fuzzed without a change of this module.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

Shape = st.SearchStrategy[Any]

WORDS = st.sampled_from(
    [
        *(
            "",
            "1Gi",
            "512Mi",
            "0.5Gi",
            "abc",
            "-1",
            "1e3",
            "True",
            "False",
            "v1",
            "v2",
            "10m",
            "/",
            "nan",
            "inf",
            "a\nb",
        ),
        *("gs://bucket/x", "https://example.com/x", "https://10.0.0.1/x", "pvc://claim/x", "http://h/x", "10.0.0.0/8"),
        *("triton-mms", "pytorch", "name", "memory", "limits", "value", "9" * 40, "x" * 300, "\0", "\u202e", "\u0663"),
    ]
)
TEXT = WORDS | st.text(max_size=8)
NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**63, 10**40]) | st.integers()


def _json(floats: st.SearchStrategy[float]) -> Shape:
    return st.recursive(
        st.none() | st.booleans() | NUMBERS | floats | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    )


JSON = _json(st.floats())
"""JSON of clients, with NaN and Infinity, which Python reads."""
STORED_JSON = _json(st.floats(allow_nan=False, allow_infinity=False))
"""JSON that the API server stores."""
_SIMPLE: dict[Any, Shape] = {
    Any: JSON,
    type(None): st.none(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
}


def right(kind: Any) -> Shape:
    """Draw structures that a type allows, with few exceptions."""
    return _of(kind, (), junk=False)


def near(kind: Any) -> Shape:
    """Draw structures that a type allows, with any JSON in some places."""
    return _of(kind, (), junk=True)


def _of(kind: Any, bounds: Sequence[Any], *, junk: bool) -> Shape:
    exact = _exact(kind, bounds, junk=junk)
    return st.one_of(exact, exact, exact, JSON) if junk else exact


def _exact(kind: Any, bounds: Sequence[Any], *, junk: bool) -> Shape:  # noqa: PLR0911  a case for each kind of type
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _exact(args[0], [*bounds, *_flat(args[1:])], junk=junk)
    if origin in (Union, types.UnionType):
        return st.one_of([_exact(each, bounds, junk=junk) for each in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        most = min(2, _bound(bounds, MaxLen, "max_length", 2))
        return st.lists(_of(args[0], (), junk=junk), min_size=_bound(bounds, MinLen, "min_length", 0), max_size=most)
    if origin is dict:
        return st.dictionaries(_of(args[0], (), junk=False), _of(args[1], (), junk=junk), max_size=2)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind is str:
        return _text(bounds)
    if kind is int:
        return _whole(bounds)
    return _named(kind, junk=junk)


def _named(kind: Any, *, junk: bool) -> Shape:
    if isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind)):
        return _structure(kind, junk=junk)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from([each.value for each in kind])
    return TEXT  # such as a network, which is read from a text


@cache
def _structure(kind: type[Any], *, junk: bool) -> Shape:
    """Draw the required fields and a few of the others; with `junk`, one required field may be missing."""
    parts = _parts(kind)
    shapes = {name: _of(annotation, bounds, junk=junk) for name, (annotation, bounds, _) in parts.items()}
    needed = [name for name, (_, _, required) in parts.items() if required]
    others = [name for name in parts if name not in needed]

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(others), unique=True, max_size=4)) if others else []
        left_out = needed[:1] if junk and draw(st.integers(0, 7)) == 7 else []
        return {name: draw(shapes[name]) for name in [*needed, *chosen] if name not in left_out}

    return drawn()


def _parts(kind: type[Any]) -> dict[str, tuple[Any, Sequence[Any], bool]]:
    """Return type, bounds and required flag of each field, by its name on the wire."""
    if issubclass(kind, BaseModel):
        items = kind.model_fields.items()
        return {field.alias or name: (field.annotation, field.metadata, field.is_required()) for name, field in items}
    hints = get_type_hints(kind, include_extras=True)
    return {to_camel(each.name): (hints[each.name], (), each.default is MISSING) for each in fields(kind)}


def _text(bounds: Sequence[Any]) -> Shape:
    most = _bound(bounds, MaxLen, "max_length", 2**16)
    least = _bound(bounds, MinLen, "min_length", 0)
    patterns = [found for each in bounds if (found := getattr(each, "pattern", None))]
    if patterns:
        return st.from_regex(patterns[0], fullmatch=True).filter(lambda text: least <= len(text) <= most)
    return TEXT.filter(lambda text: least <= len(text) <= most)


def _whole(bounds: Sequence[Any]) -> Shape:
    least, most = _bound(bounds, Ge, "ge", None), _bound(bounds, Le, "le", None)
    return st.integers(least, most)


def _bound(bounds: Sequence[Any], kind: type, name: str, default: Any) -> Any:
    return next((getattr(each, name) for each in bounds if isinstance(each, kind)), default)


def _flat(extras: Sequence[Any]) -> list[Any]:
    return [part for each in extras for part in (each.metadata if isinstance(each, FieldInfo) else [each])]
