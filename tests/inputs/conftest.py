"""A real API server for this folder's tests, and the real webhook that it asks about one namespace.

Most rows ask and keep nothing, so one namespace with the webhook and one without serve a whole file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from tests.contract.stage import configure
from tests.support.control_plane import api_server, client, environment, kubectl, mark
from tests.support.kubectl import Kubectl
from tests.support.webhook import Webhook, webhook

__all__ = ["api_server", "client", "kubectl"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent, "contract")


@contextmanager
def _namespace(server: Cluster) -> Iterator[Kubectl]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(environment(server), name)
    kubectl("create", "namespace", name)
    yield kubectl
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def alone(api_server: Cluster) -> Iterator[Kubectl]:
    """kubectl in a namespace about which nobody asks the webhook: schema and CEL decide alone."""
    with _namespace(api_server) as kubectl:
        yield kubectl


@pytest.fixture(scope="session")
def asked(api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """The webhook, asked about a namespace of its own; its `kubectl` is there."""
    with _namespace(api_server) as kubectl:
        configure(kubectl)
        with webhook(api_server.kubeconfig, kubectl, tmp_path_factory.mktemp("webhook")) as running:
            yield running
