"""docs/compatibility.md has the same tables as the code."""

from __future__ import annotations

import re
from pathlib import Path

from manyserve.plan.management import HOST_REASONS, MODEL_REASONS, OUT_OF_SCOPE
from manyserve.plan.rules.ignored import IGNORED
from manyserve.plan.servers.flags import HTTP_PORT_VALUE, Flag, Use
from manyserve.plan.servers.triton_flags import TRITON_FLAGS

PAGE = (Path(__file__).parents[1] / "docs" / "compatibility.md").read_text()


def test_compatibility_page_has_reasons_in_order_of_checks() -> None:
    asked_first = [OUT_OF_SCOPE]
    host = asked_first + [each for each in HOST_REASONS if each != OUT_OF_SCOPE]
    model = asked_first + [each for each in MODEL_REASONS if each != OUT_OF_SCOPE]
    assert re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE) == [*host, *model]


def test_compatibility_page_names_each_field_without_effect() -> None:
    assert [each.path for each in IGNORED if f"| `{each.path}` | {each.sentence} |" not in PAGE] == []


def test_compatibility_page_has_each_flag_of_triton_once_with_its_use() -> None:
    section = PAGE.partition("## Triton's flags")[2].partition("## ")[0]
    assert sorted(re.findall(r"`--([a-z0-9-]+)`", section)) == sorted(flag.name for flag in TRITON_FLAGS.flags)
    free = section.partition("**Accepted:**")[2].partition("\n")[0]
    for flag in TRITON_FLAGS.flags:
        if flag.use is Use.FREE:
            assert f"`--{flag.name}`" in free
        else:
            assert any(_is_row_of(line, flag) for line in section.splitlines()), flag.name


def _is_row_of(line: str, flag: Flag) -> bool:
    named = f"`--{flag.name}`" in line and line.endswith(f"| {flag.reason} |")
    values = " or ".join(f"`{value}`" for value in flag.values) or "none"
    if flag.values == (HTTP_PORT_VALUE,):
        values = "the port of `ports`, or 8080"
    return named and (flag.use in (Use.BOUNDED, Use.UNUSED) or f"| {values} |" in line)


def test_triton_flags_have_unique_names_and_complete_rows() -> None:
    names = [flag.name for flag in TRITON_FLAGS.flags]
    assert len(set(names)) == len(names)
    for flag in TRITON_FLAGS.flags:
        assert bool(flag.values) == (flag.use is Use.OURS), flag.name
        assert bool(flag.reason) == (flag.use is not Use.FREE), flag.name
