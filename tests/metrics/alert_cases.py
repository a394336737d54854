"""Series with which each alert fires, and with which it stays quiet, for `promtool test rules`.

Series have one sample a minute. The cases are evaluated after `MINUTES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MINUTES = 120
OPERATOR, WEBHOOK = 'job="manyserve-operator",namespace="ops"', 'job="manyserve-webhook",namespace="ops"'
HOST = 'namespace="team",host="h"'
_READY = f'manyserve_model_ready_seconds_bucket{{{OPERATOR},outcome="ready",le="300.0"}}'
_READY_COUNT = f'manyserve_model_ready_seconds_count{{{OPERATOR},outcome="ready"}}'
_EXPIRY = f"manyserve_webhook_certificate_expiry_timestamp_seconds{{{WEBHOOK}}}"
_REQUESTS, _RESULTS = "rest_client_requests_total", "controller_runtime_reconcile_total"
_DAY = 86400

Series = dict[str, str]
"""Values in promtool's notation, by series."""


@dataclass(frozen=True)
class Case:
    """The two cases of an alert, and the labels with which it fires."""

    firing: Series
    quiet: Series
    labels: dict[str, str] = field(default_factory=dict)


def _at(value: float) -> str:
    return f"{value}+0x{MINUTES}"


def _rising(step: float) -> str:
    return f"0+{step}x{MINUTES}"


_OPS, _TEAM = {"namespace": "ops"}, {"namespace": "team", "host": "h"}
_POD = _TEAM | {"pod": "p"}


def _gauge(name: str, firing: float, quiet: float, labels: dict[str, str]) -> Case:
    return Case({name: _at(firing)}, {name: _at(quiet)}, labels)


def _results(**rates: int) -> Series:
    return {f'{_RESULTS}{{{OPERATOR},result="{result}"}}': _rising(rate) for result, rate in rates.items()}


CASES: dict[str, Case] = {
    "ManyserveOperatorDown": Case(
        {f'up{{{OPERATOR},pod="a"}}': _at(0), f'up{{{OPERATOR},pod="b"}}': _at(0)},
        {f'up{{{OPERATOR},pod="a"}}': _at(0), f'up{{{OPERATOR},pod="b"}}': _at(1)},
    ),
    "ManyserveNoLeader": Case(
        {f'leader_election_master_status{{{OPERATOR},pod="{pod}"}}': _at(0) for pod in "ab"},
        {f'leader_election_master_status{{{OPERATOR},pod="{pod}"}}': _at(float(pod == "b")) for pod in "ab"},
        _OPS,
    ),
    "ManyserveConfigBroken": _gauge(f"manyserve_config_broken{{{OPERATOR}}}", 1, 0, _OPS),
    "ManyserveReconcileFailing": Case(_results(error=3, success=9), _results(error=1, success=9), _OPS),
    "ManyserveReconcileDefect": Case(
        {f"controller_runtime_reconcile_panics_total{{{OPERATOR}}}": f"0x{MINUTES - 5} 1x10"},
        {f"controller_runtime_reconcile_panics_total{{{OPERATOR}}}": f"0x10 1x{MINUTES}"},
        _OPS,
    ),
    "ManyserveQueueStuck": Case(
        {f"workqueue_depth{{{OPERATOR}}}": _at(5)},
        {
            f"workqueue_depth{{{OPERATOR}}}": "5 0 5 0 5 0 " * (MINUTES // 6 + 1),
            f"workqueue_longest_running_processor_seconds{{{OPERATOR}}}": _at(30),
        },
        _OPS,
    ),
    "ManyserveApiRequestsFailing": Case(
        {f'{_REQUESTS}{{{OPERATOR},code="<error>"}}': _rising(2), f'{_REQUESTS}{{{OPERATOR},code="200"}}': _rising(10)},
        {f'{_REQUESTS}{{{OPERATOR},code="409"}}': _rising(2), f'{_REQUESTS}{{{OPERATOR},code="200"}}': _rising(10)},
        _OPS,
    ),
    "ManyserveWebhookDown": Case({f"up{{{OPERATOR}}}": _at(1)}, {f"up{{{WEBHOOK}}}": _at(1)}),
    "ManyserveWebhookFailsOpen": Case(
        {'apiserver_admission_webhook_fail_open_count{name="validate.serving.kserve.io"}': _rising(1)},
        {
            'apiserver_admission_webhook_fail_open_count{name="validate.serving.kserve.io"}': _at(7),
            'apiserver_admission_webhook_fail_open_count{name="validate.example.com"}': _rising(1),
        },
        {"name": "validate.serving.kserve.io"},
    ),
    "ManyserveCertificateExpiresSoon": _gauge(_EXPIRY, 6 * _DAY, 9 * _DAY, _OPS),
    "ManyserveHostNotReady": _gauge(f"manyserve_host_ready{{{HOST}}}", 0, 1, _TEAM),
    "ManyserveModelServerDown": _gauge(f'manyserve_agent_server_ready{{{HOST},pod="p"}}', 0, 1, _POD),
    "ManyserveModelsFailing": _gauge(f'manyserve_host_models{{{HOST},state="failed"}}', 2, 0, _TEAM),
    "ManyserveHostFull": Case(
        {f'manyserve_models_waiting{{{HOST},reason="MemoryResourceNotAvailable"}}': _at(1)},
        {f'manyserve_models_waiting{{{HOST},reason="InferenceServiceNotFound"}}': _at(1)},
        _TEAM,
    ),
    "ManyserveReadySlow": Case(
        {_READY: _rising(6), _READY_COUNT: _rising(10)},
        {_READY: _rising(8), _READY_COUNT: _rising(10)},
        {"job": "manyserve-operator"},
    ),
    "ManyserveAgentsSilent": _gauge(f'manyserve_agents{{{HOST},state="silent"}}', 1, 0, _TEAM),
    "ManyserveAgentConfigInvalid": _gauge(f'manyserve_agent_config_error{{{HOST},pod="p"}}', 1, 0, _POD),
}


def test_file(rules: str, severities: dict[str, str]) -> dict[str, Any]:
    """Return the input of `promtool test rules` with both cases of each alert."""
    tests = [
        _test(name, series, (_alert(name, severities[name], case.labels),) if fires else ())
        for name, case in CASES.items()
        for fires, series in ((True, case.firing), (False, case.quiet))
    ]
    return {"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}


def _alert(name: str, severity: str, labels: dict[str, str]) -> str:
    own = {"alertname": name, "alertstate": "firing", "severity": severity} | labels
    pairs = (f'{key}="{value}"' for key, value in sorted(own.items()))
    return f"ALERTS{{{','.join(pairs)}}}"


def _test(name: str, series: Series, expected: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": f"{name} {'fires' if expected else 'stays quiet'}",
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{name}",alertstate="firing"}}',
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": each, "value": 1} for each in expected],
            }
        ],
    }
