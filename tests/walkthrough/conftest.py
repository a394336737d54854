"""Fixtures: the real cluster of the walkthrough, which `make demo` starts.

The demo runs once a session and is timed; `test_demo` reads its output. Each other test has a namespace of its own,
which enforces the Pod Security Standard *restricted*. The cluster is deleted at the end. MANYSERVE_KEEP=1 keeps it, and
MANYSERVE_REUSE=1 uses a kept one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from localcluster import paths
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl
from tests.walkthrough import things
from tests.walkthrough.cluster import DemoCluster

ROOT = Path(__file__).parents[2]
DEMO_LOG = ROOT / "reports" / "demo.log"
_NUMBERS = count(1)
FIELD_LONG = os.environ.get("FIELD") == "long"
"""The long form of the report `field`, as `make field-long` has it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "walkthrough" in item.path.parts:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster(figures: Figures) -> Iterator[DemoCluster]:
    """Return the cluster in which the demo has run."""
    demo = DEMO_LOG.read_text() if os.environ.get("MANYSERVE_REUSE") else _run_demo(figures)
    yield DemoCluster(_environment(), demo)
    if not os.environ.get("MANYSERVE_KEEP"):
        subprocess.run(["make", "cluster-down"], cwd=ROOT, check=True)


@pytest.fixture
def kubectl(cluster: DemoCluster) -> Iterator[Kubectl]:
    """Return kubectl in a namespace of the test's own."""
    with namespace(cluster) as own:
        yield own


@pytest.fixture
def field(request: pytest.FixtureRequest) -> Figures:
    """Return the figures of users' inputs, which are in a report of their own."""
    return reports(request.config)["field"]


@contextmanager
def namespace(cluster: DemoCluster) -> Iterator[Kubectl]:
    """Create a namespace until the end of the block, and yield kubectl in it."""
    name = f"walk-{os.getpid()}-{next(_NUMBERS)}"
    everywhere = Kubectl(cluster.env)
    everywhere("create", "namespace", name)
    everywhere("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield Kubectl(cluster.env, name)
    everywhere("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def shared_host(cluster: DemoCluster) -> Iterator[Kubectl]:
    """Return kubectl in a namespace with a ready host `mms` of 1Gi, for tests that place nothing."""
    with namespace(cluster) as kubectl:
        kubectl.apply(things.host())
        things.wait_ready(kubectl, "isvc", "mms")
        yield kubectl


def _run_demo(figures: Figures) -> str:
    """Run `make demo`, print its output at once, and store it."""
    DEMO_LOG.parent.mkdir(exist_ok=True)
    warm = all((paths.cache() / each).exists() for each in ("bin/kube-apiserver", "images"))
    start = time.monotonic()
    words = ["make", "demo"]
    with (
        DEMO_LOG.open("w") as log,
        subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo,
    ):
        assert demo.stdout is not None
        for line in demo.stdout:
            log.write(line)
            print(line, end="", file=sys.__stdout__, flush=True)
    printed = DEMO_LOG.read_text()
    assert demo.returncode == 0, "make demo failed; its last lines:\n" + "\n".join(printed.splitlines()[-30:])
    cache, limit = ("warm", 240) if warm else ("cold", 1800)
    ready = re.search(r"the cluster is ready.*\((\d+) s\)", printed)
    assert ready
    figures.take(f"from nothing to a ready cluster, {cache}", float(ready[1]), "s", below=60 if warm else None)
    figures.take(f"make demo, {cache}", time.monotonic() - start, "s", below=limit)
    return printed


def _environment() -> dict[str, str]:
    port = os.environ.get("PORT", "22000")
    words = [sys.executable, "-m", "localcluster", "env", "--port", port]
    env = os.environ | {"PYTHONPATH": str(ROOT / "deploy" / "local")}
    printed = subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout
    script = f"{printed}\nenv -0"
    variables = subprocess.run(["bash", "-c", script], env=env, check=True, capture_output=True, text=True).stdout
    pairs = dict(each.split("=", 1) for each in variables.split("\0") if "=" in each)
    return pairs | {"PATH": f"{Path(sys.executable).parent}:{pairs['PATH']}"}
