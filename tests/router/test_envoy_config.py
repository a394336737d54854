"""Static configuration of Envoy: a golden file with the first bucket, and the others like it.

`python -m tests.router.test_envoy_config` writes the file; review the diff.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from manyserve.router.buckets import BUCKETS, RESOURCES
from manyserve.router.envoy.config import envoy_config
from manyserve.router.envoy.inference import METHODS
from manyserve.router.envoy.types import EnvoyOptions

GOLDEN = Path(__file__).parents[1] / "data" / "router" / "envoy.json"
OPTIONS = EnvoyOptions(
    node="router-1",
    http_port=8080,
    grpc_port=9000,
    status_port=9901,
    admin_socket="/run/manyserve/admin.sock",
    xds_socket="/run/manyserve/xds.sock",
    max_request_bytes=64 * 1024 * 1024,
)


def reduced() -> str:
    """Return the configuration with the clusters and the weights of the first bucket only."""
    config = envoy_config(OPTIONS)
    static = config["static_resources"]
    static["clusters"] = [each for each in static["clusters"] if not is_of_other_bucket(each["name"])]
    for weighted in weighted_clusters(config):
        weighted["clusters"] = weighted["clusters"][:1]
    return json.dumps(config, indent=1) + "\n"


def is_of_other_bucket(name: str) -> bool:
    return name in RESOURCES and name[1:] != "0"


def weighted_clusters(value: Any) -> list[Any]:
    """Return all `weighted_clusters` below a value."""
    if isinstance(value, list):
        return [found for each in value for found in weighted_clusters(each)]
    if not isinstance(value, dict):
        return []
    own = [value["weighted_clusters"]] if "weighted_clusters" in value else []
    return own + [found for each in value.values() for found in weighted_clusters(each)]


def test_configuration_is_the_golden_one() -> None:
    assert reduced() == GOLDEN.read_text()


def test_all_buckets_are_like_the_first() -> None:
    config = envoy_config(OPTIONS)
    clusters = {each["name"]: each for each in config["static_resources"]["clusters"]}
    for name in RESOURCES:
        assert clusters[name] | {"name": ""} == clusters[f"{name[0]}0"] | {"name": ""}
    weighted = weighted_clusters(config)
    assert len(weighted) == 2 + len(METHODS)
    for each in weighted:
        kind = each["clusters"][0]["name"][0]
        assert each["clusters"] == [{"name": f"{kind}{bucket}", "weight": 1} for bucket in range(BUCKETS)]


@pytest.mark.router
def test_configuration_is_valid_for_envoy(envoy: str, tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(envoy_config(OPTIONS)))
    done = subprocess.run([envoy, "--mode", "validate", "-c", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


if __name__ == "__main__":
    GOLDEN.write_text(reduced())
