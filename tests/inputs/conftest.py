"""Fixtures: an API server, a webhook that reviews one namespace, and a stage with an operator.

Most tests store nothing, so they share one namespace with the webhook and one without.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.contract.stage import Stage, staged, webhook_in_own_namespace
from tests.inputs.webhook_client import WebhookClient, opened
from tests.support import make
from tests.support.control_plane import api_server, client, kubectl, mark, new_namespace
from tests.support.kubectl import Kubectl
from tests.support.webhook import Webhook
from tests.webhook.reviews import review_of

__all__ = ["api_server", "client", "kubectl"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent, "contract")


@pytest.fixture(scope="session")
def kubectl_without_webhook(api_server: Cluster) -> Iterator[Kubectl]:
    """kubectl in a namespace without webhook: the CRDs alone decide."""
    with new_namespace(api_server) as kubectl:
        yield kubectl


@pytest.fixture(scope="session")
def webhook(api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """The webhook of a namespace of its own; its `kubectl` uses this namespace."""
    with webhook_in_own_namespace(api_server, tmp_path_factory.mktemp("webhook")) as running:
        yield running


@pytest.fixture(scope="session")
def trust(webhook: Webhook) -> ssl.SSLContext:
    """The trusted authority of the API server."""
    return ssl.create_default_context(cadata=webhook.authority)


@pytest.fixture
async def webhook_client(webhook: Webhook, trust: ssl.SSLContext) -> AsyncIterator[WebhookClient]:
    """A client of the webhook's own port, past the API server."""
    async with opened(webhook, trust) as client:
        yield client


@pytest.fixture
async def healthy_webhook(webhook_client: WebhookClient) -> AsyncIterator[WebhookClient]:
    """A client of the webhook; after the test the webhook must still answer, and its log must have no error."""
    yield webhook_client
    good = await webhook_client.review(review_of(make.model_object(host="nobody"), uid="afterwards"))
    assert (good["uid"], good["allowed"]) == ("afterwards", True)
    assert [line for line in webhook_client.server.lines if line["level"] == "error" or "stacktrace" in line] == []


@pytest.fixture
async def stage(kubectl: Kubectl, client: KubeClient) -> AsyncIterator[Stage]:
    """An operator and a kubelet in the test's own namespace."""
    async with staged(kubectl, client) as running:
        yield running
