"""The client sends each verb in the form of the API server, and turns responses into one family of errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyserve.cluster import errors
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.kinds import CONFIG_MAP, DEPLOYMENT, TRAINED_MODEL
from manyserve.cluster.kubeconfig import ClusterConfig, Token
from tests.support.clock import FakeClock
from tests.support.fake_api import FakeApi, served
from tests.support.watch_lines import model


def config_map(**metadata: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"} | metadata}


def test_kind_path_is_that_of_the_api_server() -> None:
    assert CONFIG_MAP.path("n", "c") == "/api/v1/namespaces/n/configmaps/c"
    assert DEPLOYMENT.path() == "/apis/apps/v1/deployments"
    assert TRAINED_MODEL.path("n", "m", "status") == (
        "/apis/serving.kserve.io/v1alpha1/namespaces/n/trainedmodels/m/status"
    )


async def test_client_apply_is_server_side_with_our_field_manager_and_force() -> None:
    server = FakeApi()
    async with served(server) as client:
        await client.apply(CONFIG_MAP, config_map())
    verb, path, query, headers, _ = server.requests[0]
    assert (verb, path) == ("PATCH", "/api/v1/namespaces/n/configmaps/c")
    assert query == {"fieldManager": "manyserve", "force": "true"}
    assert headers["Content-Type"] == "application/apply-patch+yaml"


async def test_client_merge_patch_goes_to_the_status_subresource() -> None:
    server = FakeApi()
    async with served(server) as client:
        await client.merge_patch(TRAINED_MODEL, "n", "m", {"status": {"loaded": "1/1"}}, subresource="status")
    verb, path, _, headers, body = server.requests[0]
    assert (verb, path.endswith("/trainedmodels/m/status")) == ("PATCH", True)
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert body == {"status": {"loaded": "1/1"}}


async def test_client_delete_has_preconditions() -> None:
    server = FakeApi()
    async with served(server) as client:
        await client.delete(CONFIG_MAP, "n", "c", uid="u")
    body = server.requests[0][4]
    assert body is not None
    assert body["preconditions"] == {"uid": "u"}


async def test_client_list_reads_all_pages() -> None:
    server = FakeApi()
    server.answers.append(
        (200, {}, {"metadata": {"continue": "more", "resourceVersion": "7"}, "items": [model("a", 1)]})
    )
    server.items, server.version = [model("b", 2)], 7
    async with served(server) as client:
        listing = await client.list(TRAINED_MODEL, ListOptions(labels="x=y"))
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert [request[2].get("continue") for request in server.requests] == [None, "more"]
    assert {request[2]["labelSelector"] for request in server.requests} == {"x=y"}


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.Invalid),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Expired),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Throttled),
        (500, "InternalError", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
async def test_client_error_has_the_class_and_the_message_of_the_response(
    code: int, reason: str, kind: type[errors.ClusterError]
) -> None:
    server = FakeApi()
    server.answers.append((code, {}, {"kind": "Status", "reason": reason, "message": "so it is " + "!" * 5000}))
    async with served(server) as client:
        with pytest.raises(errors.ClusterError, match=r"^so it is !") as caught:
            await client.get(CONFIG_MAP, "n", "c")
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert len(str(caught.value)) == 1024


async def test_client_repeats_a_request_after_retry_after() -> None:
    server = FakeApi()
    server.answers.append((429, {"Retry-After": "0"}, {"message": "slowly"}))
    async with served(server) as client:
        await client.apply(CONFIG_MAP, config_map())
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("86400", 30.0), ("9" * 400, 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)],
    ids=["short", "day", "digits", "date", "negative"],
)
def test_error_bounds_retry_after(header: str, seconds: float | None) -> None:
    assert errors.from_response(429, b"{}", header).retry_after == seconds


async def test_client_gives_up_after_three_refusals_with_retry_after() -> None:
    server = FakeApi()
    server.answers.extend([(429, {"Retry-After": "0"}, {"message": "slowly"})] * 9)
    async with served(server) as client:
        with pytest.raises(errors.Throttled) as caught:
            await client.apply(CONFIG_MAP, config_map())
    assert (len(server.requests), caught.value.retry_after) == (3, 0.0)


async def test_client_does_not_repeat_an_error_without_retry_after() -> None:
    server = FakeApi()
    server.answers.append((500, {}, {"message": "oh"}))
    async with served(server) as client:
        with pytest.raises(errors.Unavailable):
            await client.create(CONFIG_MAP, config_map())
    assert len(server.requests) == 1


async def test_client_without_a_response_raises_unavailable() -> None:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        with pytest.raises(errors.Unavailable, match="had no response"):
            await client.get(CONFIG_MAP, "n", "c")


async def test_client_reads_a_refused_token_again_and_repeats_the_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    server = FakeApi()
    async with served(server, Token(file.read_text)) as client:
        file.write_text("new")
        server.answers.append((401, {}, {"message": "Unauthorized"}))
        await client.get(CONFIG_MAP, "n", "c")
    assert [request[3]["Authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]


def test_token_is_read_again_after_a_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    file = tmp_path / "token"
    file.write_text("old")
    token = Token(file.read_text, clock=clock)
    file.write_text("new")
    assert token() == "old"
    clock.now = 60.0
    assert token() == "new"
    file.unlink()
    clock.now = 120.0
    assert token() == "new"
