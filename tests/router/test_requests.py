"""Requests through a real Envoy: paths, gRPC, streams, limits, and requests that must not reach a pod."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest

from manyserve.api.routes import RouteState
from manyserve.router.buckets import bucket_of
from tests.router.pods import CHUNKS, infer_request
from tests.router.rig import Rig

pytestmark = pytest.mark.router

LIMIT = 1024 * 1024
"""Bytes of the largest body in the tests of limits."""


async def test_http_request_reaches_the_pod_of_its_model(rig: Rig) -> None:
    for pod, model in zip(rig.pods, "abc", strict=True):
        for rest in ("v2/models/{}/infer", "v1/models/{}:predict", "v2/models/{}/versions/1/infer"):
            path = "/" + rest.format(model)
            status, body = await rig.ask(path)
            assert (status, body["pod"], body["path"]) == (200, pod.uid, path)
    assert (await rig.ask("/v2/models/a/generate?x=1"))[1]["pod"] == "0"
    assert (await rig.ask("/v1/models/a", method="GET"))[0] == 200
    assert rig.misrouted() == []


async def test_copies_of_a_model_share_its_requests(rig: Rig) -> None:
    answers = await asyncio.gather(*(rig.ask("/v2/models/both/infer") for _ in range(40)))
    assert {body["pod"] for _, body in answers} == {"0", "1"}


async def test_streamed_response_arrives_event_by_event(rig: Rig) -> None:
    rig.pods[0].chunk_seconds = 0.1
    async with rig.http.post(f"{rig.router.url}/v2/models/a/generate_stream", data=b"{}") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        first = await answer.content.readuntil(b"\n\n")
        assert rig.pods[0].busy == 1, "the pod still sends"
        rest = await answer.read()
    assert json.loads(first.removeprefix(b"data: ")) == {"pod": "0", "n": 0}
    assert rest.count(b"data: ") == CHUNKS - 1


async def test_grpc_request_reaches_the_pod_of_the_model_in_its_message(rig: Rig) -> None:
    async with rig.channel() as client:
        for pod, model in zip(rig.pods, "abc", strict=True):
            for method in ("ModelInfer", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
                assert await client.unary(method, infer_request(model)) == f"{pod.uid} {model} {2 + len(model)}"
        assert (await client.unary("ModelInfer", infer_request("b", 20_000_000))).startswith("1 b 2000")
        responses = await client.stream(*[infer_request("c", size) for size in (1, 1000, 100_000)])
    assert [response.split()[:2] for response in responses] == [["2", "c"]] * 3
    assert rig.misrouted() == []


async def test_envoy_and_router_agree_on_the_bucket_of_each_name(rig: Rig) -> None:
    """A request reaches a pod only by the cluster in which the router put its model."""
    names = [f"model-{number}" for number in range(300)] + ["x", "0", "a-b-c", "z" * 253]
    assert len({bucket_of(name) for name in names}) == 64
    rig.pods[1].load(*names)
    await rig.answers(names[-1])
    statuses = await asyncio.gather(*(rig.infer(name) for name in names))
    assert set(statuses) == {200}
    async with rig.channel() as client:
        answers = [await client.unary("ModelInfer", infer_request(name)) for name in names]
    assert {answer.split()[0] for answer in answers} == {"1"}
    assert rig.misrouted() == []


async def test_unknown_model_is_not_found(rig: Rig) -> None:
    assert await rig.ask("/v2/models/other/infer") == (404, {"error": "there is no model other on this host"})
    async with rig.channel() as client:
        answer = await client.unary("ModelInfer", infer_request("other"))
        assert answer == "NOT_FOUND: there is no model other on this host"
        assert await client.unary("ModelInfer", b"") == "INVALID_ARGUMENT: the request names no model"
        assert (await client.unary("ModelInfer", infer_request("a\nb"))).startswith("NOT_FOUND: no model has this name")
        assert (await client.unary("ModelInfer", infer_request("A" * 300))).startswith("NOT_FOUND")


async def test_model_that_is_not_loaded_is_unavailable_with_a_sentence(rig: Rig) -> None:
    rig.pods[0].set_state(soon=RouteState.LOADING, broken=RouteState.FAILED, cold=RouteState.COLD)
    await rig.answers("a")
    async with rig.http.post(f"{rig.router.url}/v2/models/soon/infer") as answer:
        assert (answer.status, await answer.json()) == (503, {"error": "the model soon is being loaded"})
        assert int(answer.headers["Retry-After"]) > 0
    assert await rig.ask("/v1/models/broken:predict") == (
        503,
        {"error": "the model broken could not be loaded; its TrainedModel has the reason"},
    )
    async with rig.channel() as client:
        assert await client.unary("ModelInfer", infer_request("cold")) == "UNAVAILABLE: the model cold is not loaded"


async def test_activator_answers_requests_about_the_server(rig: Rig) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert (await rig.ask(path, method="GET"))[0] == 200
    assert (await rig.ask("/v2", method="GET"))[1]["name"] == "manyserve"
    assert (await rig.ask("/v1/models", method="GET"))[1] == {"models": ["a", "b", "both", "c"]}
    async with rig.channel() as client:
        assert await client.raw("ServerLive", b"") == b"\x08\x01"


PATHS = {
    "/v2/repository/models/a/load": 403,
    "/v2/repository/models/a/unload": 403,
    "/v2/repository/index": 403,
    "/v2/repository": 403,
    "/v2//repository/index": 403,
    "/v2/models/../repository/index": 403,
    "/v2/models/a/%2e%2e/%2e%2e/repository/index": 403,
    "/v2/models/a/%2E./../repository/index": 403,
    "/v2/models/a%2finfer": 400,
    "/v2/models/x%5c..%5c..%5crepository/index": 400,
    "/v2/models/x%2F..%2F..%2Frepository%2Findex": 400,
    "/v2/models/..;/repository/index": 403,
    "/V2/repository/index": 404,
    "/v2/repositoryx": 404,
    "/v2/systemsharedmemory/status": 404,
    "/v2/models/": 404,
    "/": 404,
}


async def test_path_of_no_model_reaches_no_pod(rig: Rig) -> None:
    assert {path: (await raw_post(rig, path))[0] for path in PATHS} == PATHS
    assert rig.misrouted() == []


async def test_dot_segments_are_resolved_before_the_model_is_read(rig: Rig) -> None:
    status, body = await raw_post(rig, "/v2/models/b/../a/./infer")
    assert (status, json.loads(body)["pod"], json.loads(body)["path"]) == (200, "0", "/v2/models/a/infer")


async def test_load_api_of_grpc_reaches_no_pod(rig: Rig) -> None:
    async with rig.channel() as client:
        for method in ("RepositoryModelLoad", "RepositoryModelUnload", "RepositoryIndex"):
            assert (await client.unary(method, b"\x12\x01a")).startswith("PERMISSION_DENIED: models are loaded")
        assert (await client.unary("SystemSharedMemoryStatus", b"", x_manyserve_model="a")).startswith("UNIMPLEMENTED")
        assert (await client.unary("/../Other", b"")).split(":")[0] in {"UNIMPLEMENTED", "UNKNOWN", "INTERNAL"}
    assert not [each for pod in rig.pods for each in pod.headers]


async def test_internal_headers_of_a_client_are_removed(rig: Rig) -> None:
    async with rig.channel() as client:
        answer = await client.unary("ModelInfer", infer_request("a"), x_manyserve_model="b")
        assert answer.startswith("0 a ")
        missing = await client.unary("ModelInfer", b"", x_manyserve_model="b")
        assert missing.startswith("INVALID_ARGUMENT")
        assert await client.without_message("ModelInfer", x_manyserve_model="b") == "INVALID_ARGUMENT"
    headers = {
        "x-manyserve-model": "b",
        "x-envoy-max-retries": "9",
        "x-envoy-retry-on": "retriable-status-codes",
        "x-envoy-retriable-status-codes": "404",
    }
    assert (await rig.ask("/v2/models/a/infer", headers=headers))[0] == 200
    rig.pods[0].loaded.discard("a")
    assert (await rig.ask("/v2/models/a/infer", headers=headers))[0] == 404
    assert len(rig.pods[0].misrouted) == 1, "the client's headers cause no retries"
    seen = [each for pod in rig.pods for each in pod.headers]
    assert not {name for each in seen for name in each if name.startswith("x-envoy-m") or "retry" in name}
    assert not {name for each in rig.pods[0].headers[1:] for name in each if name.startswith("x-manyserve")}


async def test_body_above_the_limit_is_refused(pods: Rig) -> None:
    await pods.add_router(MANYSERVE_MAX_REQUEST_BYTES=str(LIMIT))
    assert (await pods.ask("/v2/models/a/infer", data=io.BytesIO(b"x" * LIMIT)))[0] == 200
    assert (await pods.ask("/v2/models/a/infer", data=io.BytesIO(b"x" * (LIMIT + 1))))[0] == 413
    assert (await pods.ask("/v2/models/a/infer", data=chunks(LIMIT + 1)))[0] == 413
    async with pods.channel() as client:
        assert (await client.unary("ModelInfer", infer_request("a", LIMIT // 2))).startswith("0 a")
        assert (await client.unary("ModelInfer", infer_request("a", 2 * LIMIT))).split(":")[0] != "OK"
    assert pods.pods[0].requests["a"] == 2
    assert await pods.infer("a") == 200


async def chunks(size: int) -> AsyncIterator[bytes]:
    """Yield a body without a declared length."""
    for _ in range(size // 1000 + 1):
        yield b"x" * 1000


async def raw_post(rig: Rig, path: str) -> tuple[int, str]:
    """Post to a path as it is written; the client of the other tests would resolve it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.router.http_port)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            text = (await reader.read()).decode()
    finally:
        writer.close()
    return int(text.split()[1]), text.partition("\r\n\r\n")[2]
