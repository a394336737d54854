"""The page of the benchmarks: its tables of figures."""

from __future__ import annotations

from collections import Counter

from bench.control.meter import Counts
from bench.control.results import figures_of
from bench.control.scenarios import Measured
from bench.document import _by_size, _side_by_side


def test_document_has_cost_of_model_side_by_side_for_each_size() -> None:
    small = {"apply": Measured(2.0, Counts(cpu=1.0), 100.0, floor=1.9), "change 1000 URIs": _few(3.0)}
    large = {"apply": Measured(30.0, Counts(cpu=20.0), 100.0, floor=1.9)}
    lines = _side_by_side(_by_size(figures_of(small, 1000, 1) | figures_of(large, 10_000, 1)))
    assert "| scenario | 1000 models on 1 host | 10000 models on 1 host |" in lines
    assert "| apply | 2.00 and 1.00 | 3.00 and 2.00 |" in lines
    assert not [line for line in lines if "URIs" in line], "a fixed number of models is no cost of one model"


def _few(seconds: float) -> Measured:
    return Measured(seconds, Counts(writes=Counter()), 100.0, in_config=1.0)
