"""Declared memory and its sum, which placement and webhook share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.plan.memory import (
    DEFAULT_MEMORY,
    MemoryShare,
    Usage,
    declared,
    declared_bytes,
    declared_or_zero,
    fits,
    memory_limit,
)
from manyserve.plan.placement import entry_of
from tests.support import make

GIB = 1024**3
MEMORY = st.integers(1, 2**63 - 1)


def test_declared_is_equal_for_a_model_and_its_entry() -> None:
    model = make.model(memory="1.5Gi")
    assert declared(model) == declared(entry_of(model)) == 3 * GIB // 2


@pytest.mark.parametrize("memory", ["-1Gi", "abc", "0", "1.5"])
def test_declared_or_zero_counts_an_unreadable_memory_as_zero(memory: str) -> None:
    entry = entry_of(make.model(memory=memory))
    with pytest.raises(ValueError, match="must be a quantity"):
        declared(entry)
    assert declared_or_zero(entry) == 0


@pytest.mark.parametrize("other", [True, 1.0])
def test_declared_bytes_cache_separates_a_number_from_equal_values_of_other_types(other: Any) -> None:
    assert declared_bytes(1) == 1
    with pytest.raises(ValueError, match="is not a quantity"):
        declared_bytes(other)


@given(used=MEMORY, wanted=MEMORY)
def test_fits_is_exact_to_the_byte(used: int, wanted: int) -> None:
    assert fits(used, wanted, used + wanted)
    assert not fits(used, wanted, used + wanted - 1)


def test_memory_limit_is_the_limit_then_the_request_then_the_default() -> None:
    requests = {"requests": {"memory": "3Gi"}}
    assert memory_limit(make.host(memory="4Gi")) == 4 * GIB
    assert memory_limit(make.host(triton={"resources": requests})) == 3 * GIB
    assert memory_limit(make.host(triton={})) == declared_bytes(DEFAULT_MEMORY)


def test_memory_limit_that_is_unreadable_is_zero() -> None:
    assert memory_limit(make.host(memory="much")) == 0


@given(added=st.dictionaries(st.text(max_size=4), MEMORY, max_size=8), data=st.data())
def test_usage_total_is_the_sum_of_its_models(added: dict[str, int], data: st.DataObject) -> None:
    usage = Usage()
    for name, memory in added.items():
        usage.add(name, memory)
    removed = data.draw(st.sets(st.sampled_from(sorted(added)))) if added else set()
    for name in removed:
        usage.remove(name)
    expected = {name: memory for name, memory in added.items() if name not in removed}
    assert usage.total == sum(expected.values())
    assert set(usage.shares()) == {MemoryShare(name, memory) for name, memory in expected.items()}
