"""The API server of this folder, the real webhook that it asks about one namespace, and a stage with an operator.

Most rows ask and keep nothing, so one namespace with the webhook and one without serve them all.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.contract.stage import Stage, staged, webhook_in_own_namespace
from tests.inputs.door import Door, opened
from tests.support import make
from tests.support.control_plane import api_server, client, kubectl, mark, new_namespace
from tests.support.kubectl import Kubectl
from tests.support.webhook import Webhook
from tests.webhook.reviews import review_of

__all__ = ["api_server", "client", "kubectl"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent, "contract")


@pytest.fixture(scope="session")
def alone(api_server: Cluster) -> Iterator[Kubectl]:
    """kubectl in a namespace about which nobody asks the webhook: the CRDs decide alone."""
    with new_namespace(api_server) as kubectl:
        yield kubectl


@pytest.fixture(scope="session")
def asked(api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """The webhook, asked about a namespace of its own; its `kubectl` is there."""
    with webhook_in_own_namespace(api_server, tmp_path_factory.mktemp("webhook")) as running:
        yield running


@pytest.fixture(scope="session")
def trust(asked: Webhook) -> ssl.SSLContext:
    """What the API server trusts."""
    return ssl.create_default_context(cadata=asked.authority)


@pytest.fixture
async def door(asked: Webhook, trust: ssl.SSLContext) -> AsyncIterator[Door]:
    """The webhook's own port, past the API server."""
    async with opened(asked, trust) as found:
        yield found


@pytest.fixture
async def quiet(door: Door) -> AsyncIterator[Door]:
    """The door; afterwards the webhook still answers, and its log tells of no defect."""
    yield door
    good = await door.ask(review_of(make.model_object(host="nobody"), uid="afterwards"))
    assert (good["uid"], good["allowed"]) == ("afterwards", True)
    assert [line for line in door.hook.lines if line["level"] == "error" or "stacktrace" in line] == []


@pytest.fixture
async def stage(kubectl: Kubectl, client: KubeClient) -> AsyncIterator[Stage]:
    """An operator and a kubelet in the test's own namespace."""
    async with staged(kubectl, client) as found:
        yield found
