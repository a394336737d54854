"""Counters of requests by model, from the servers' metrics pages."""

from __future__ import annotations

import pytest

from manyserve.agent.servers.counters import COUNTERS, MLSERVER, TRITON, read_counters
from manyserve.api.routes import ModelTraffic

TRITON_PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="a",version="1"} 7
nv_inference_request_success{model="a",version="2"} 3
nv_inference_request_success{model="idle",version="1"} 0
nv_inference_request_failure{model="a",reason="OTHER",version="1"} 2
nv_inference_count{model="a",version="1"} 700
nv_inference_request_duration_us{model="a",version="1"} 1234
nv_inference_request_duration_us{model="a",version="2"} 66
nv_inference_request_duration_us{model="idle",version="1"} 0
nv_inference_request_duration_us{model="half",version="1"} 5
nv_inference_pending_request_count{model="a",version="1"} 4
nv_gpu_utilization{gpu_uuid="x"} 0.5
"""
MLSERVER_PAGE = """\
# TYPE model_infer_request_success counter
model_infer_request_success_total{model="b",version="None"} 12.0
model_infer_request_duration_sum{model="b",version="None"} 0.25
model_infer_request_duration_count{model="b",version="None"} 12.0
"""


def test_triton_counters_of_all_versions_are_added_up() -> None:
    assert read_counters(TRITON_PAGE, TRITON) == {
        "a": ModelTraffic(requests=12, busy_micros=1300, pending=4),
        "idle": ModelTraffic(requests=0, busy_micros=0, pending=None),
    }


def test_mlserver_seconds_are_microseconds_and_nothing_is_pending() -> None:
    assert read_counters(MLSERVER_PAGE, MLSERVER) == {"b": ModelTraffic(requests=12, busy_micros=250_000, pending=None)}


def test_model_without_counters_is_absent() -> None:
    assert read_counters("", TRITON) == {}
    assert read_counters(MLSERVER_PAGE, TRITON) == {}


def test_loaded_model_without_a_request_has_counters_of_0_where_they_begin_with_the_first_one() -> None:
    zero = ModelTraffic(requests=0, busy_micros=0)
    found = read_counters(MLSERVER_PAGE, MLSERVER, ("b", "new"))
    assert (found["b"].requests, found["new"]) == (12, zero)
    assert read_counters("", MLSERVER, ("new",)) == {"new": zero}
    assert "new" not in read_counters(TRITON_PAGE, TRITON, ("a", "new"))


def test_model_with_other_counters_alone_is_not_without_a_request() -> None:
    half = 'model_infer_request_success_total{model="b"} 12.0\n'
    assert read_counters(half, MLSERVER, ("b",)) == {}


@pytest.mark.parametrize("value", ["NaN", "-1", "1e300", "+Inf"])
def test_impossible_values_are_in_range(value: str) -> None:
    page = f'nv_inference_request_success{{model="a"}} {value}\nnv_inference_request_duration_us{{model="a"}} {value}\n'
    traffic = read_counters(page, TRITON)["a"]
    assert 0 <= traffic.requests < 2**63
    assert 0 <= traffic.busy_micros < 2**63


def test_line_that_is_no_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_counters('nv_inference_request_success{model="a"} many\n', TRITON)


def test_servers_of_v1_have_no_counters() -> None:
    assert "v1" not in COUNTERS
