"""Counters of requests by model, from the metrics page of a model server in Prometheus' text format.

A page has some 1.7 KB for each model of Triton. Only the lines of the counters are parsed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from manyserve.api.agentreport import LONGEST_NAME
from manyserve.api.modelconfig import MAX_ENTRIES
from manyserve.api.routes import MAX_COUNT, ModelTraffic

_LONGEST_LINE = 4096


@dataclass(frozen=True)
class CounterNames:
    """Names of one server's counters. Each has the label `model`; versions of a model are added up."""

    requests: tuple[str, ...]
    busy: str
    """Sum of the durations of requests."""
    micros: int
    """Microseconds in one unit of `busy`."""
    pending: str = ""
    """Gauge of the requests that wait; empty where the server has none."""
    from_first_request: bool = False
    """A model has counters from its first request on. A loaded one without them has had no request."""


TRITON = CounterNames(
    requests=("nv_inference_request_success", "nv_inference_request_failure"),
    busy="nv_inference_request_duration_us",
    micros=1,
    pending="nv_inference_pending_request_count",
)
MLSERVER = CounterNames(
    requests=("model_infer_request_success_total", "model_infer_request_failure_total"),
    busy="model_infer_request_duration_sum",
    micros=1_000_000,
    from_first_request=True,
)
COUNTERS: Mapping[str, CounterNames] = {"v2": TRITON, "mlserver": MLSERVER}
"""Counters by dialect. Servers of the dialect `v1` have none."""


def read_counters(text: str, names: CounterNames, loaded: Iterable[str] = ()) -> dict[str, ModelTraffic]:
    """Return the counters of each model that has both requests and durations. Raises `ValueError` for another text.

    `loaded` names the loaded models: where counters begin with the first request, one without any has counters of 0.
    """
    sums: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for sample in _samples(text, (*names.requests, names.busy, names.pending)):
        model = sample.labels.get("model", "")
        if 0 < len(model) <= LONGEST_NAME and (model in sums or len(sums) < MAX_ENTRIES):
            sums[model][sample.name] += sample.value
    counted = {model: _traffic(each, names) for model, each in sums.items() if _is_whole(each, names)}
    complete = loaded if names.from_first_request else ()
    return counted | {model: ModelTraffic(requests=0, busy_micros=0) for model in complete if model not in sums}


def _is_whole(sums: Mapping[str, float], names: CounterNames) -> bool:
    return names.busy in sums and any(name in sums for name in names.requests)


def _traffic(sums: Mapping[str, float], names: CounterNames) -> ModelTraffic:
    return ModelTraffic(
        requests=_count(sum(sums.get(name, 0.0) for name in names.requests)),
        busy_micros=_count(sums[names.busy] * names.micros),
        pending=_count(sums[names.pending]) if names.pending in sums else None,
    )


def _count(value: float) -> int:
    """Return a counter in range. A server that is wrong must not end the agent."""
    return int(min(max(value, 0.0), MAX_COUNT // 2)) if value == value else 0  # noqa: PLR0124  NaN


def _samples(text: str, names: tuple[str, ...]) -> Iterator[Sample]:
    wanted = tuple(f"{name}{{" for name in names if name)
    lines = (line for line in text.splitlines() if line.startswith(wanted) and len(line) <= _LONGEST_LINE)
    for family in text_string_to_metric_families("\n".join(lines)):
        yield from family.samples
