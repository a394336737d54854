"""Client of the v2 repository API, and the agent as a program."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers import DIALECTS, LoadRejectedError, MLServer, ServerUnavailableError, V1Server, V2Server
from manyserve.agent.servers.v2 import read_index
from manyserve.agent.settings import AgentSettings
from manyserve.api.errors import StartupError
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import LIMIT, eventually
from tests.support.programs import free_port

pytestmark = DROPPED_STREAMS


class FakeV2Server:
    """Server with one answer for all requests."""

    def __init__(self) -> None:
        self.status, self.body, self.hang = 200, b"", False
        self.url = ""
        self.keys: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("manyserve-key"))
        if self.hang:
            await asyncio.sleep(60)
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
async def scripted() -> AsyncIterator[FakeV2Server]:
    script = FakeV2Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.answer)
    async with TestServer(app) as server:
        script.url = str(server.make_url("")).rstrip("/")
        yield script


@pytest.fixture
async def client(scripted: FakeV2Server) -> AsyncIterator[V2Server]:
    client = V2Server(scripted.url, index_seconds=0.2)
    yield client
    await client.close()


def test_v2_read_index_merges_versions_by_precedence() -> None:
    rows = [("a", "UNAVAILABLE"), ("a", "READY"), ("b", "READY"), ("b", "LOADING"), ("c", None), ("d", "NEW STATE")]
    body = json.dumps([{"name": name, "state": state} for name, state in rows]).encode()
    assert {name: model.state for name, model in read_index(body).items()} == {
        "a": ServerState.READY,
        "b": ServerState.LOADING,
        "c": ServerState.ABSENT,
        "d": ServerState.UNAVAILABLE,
    }


def test_v2_read_index_has_reason_on_one_line() -> None:
    body = b'[{"name": "a", "state": "UNAVAILABLE", "reason": "bad\\nfile"}]'
    assert read_index(body) == {"a": ServerModel(ServerState.UNAVAILABLE, "bad file")}


@pytest.mark.parametrize("body", [b"", b"{", b"3", b'{"a": 1}', b"[1]", b"[{}]", b'[{"name": "a", "state": [1]}]'])
def test_input_29_v2_invalid_index_means_server_is_unavailable(body: bytes) -> None:
    with pytest.raises(ServerUnavailableError):
        read_index(body)


async def test_v2_index_timeout_or_error_means_server_is_unavailable(scripted: FakeV2Server, client: V2Server) -> None:
    scripted.hang = True
    with pytest.raises(ServerUnavailableError, match=r"within 0\.2 s"):
        await client.index()
    scripted.hang, scripted.status = False, 503
    with pytest.raises(ServerUnavailableError, match="answered 503"):
        await client.index()


async def test_v2_rejected_load_has_reason_of_server(scripted: FakeV2Server, client: V2Server) -> None:
    scripted.status, scripted.body = 400, b'{"error": "no\\nsuch backend"}'
    with pytest.raises(LoadRejectedError, match=r"^no such backend$"):
        await client.load("a")
    scripted.body = b""
    with pytest.raises(LoadRejectedError, match="answered with 400"):
        await client.load("a")


async def test_input_29_v2_error_of_megabytes_is_cut(scripted: FakeV2Server, client: V2Server) -> None:
    scripted.status, scripted.body = 500, b"broken " * 1_500_000
    with pytest.raises(LoadRejectedError, match=r"^broken broken ") as caught:
        async with asyncio.timeout(LIMIT):
            await client.load("a")
    assert len(str(caught.value)) <= 512


async def test_v2_index_of_same_bytes_is_same_object(scripted: FakeV2Server, client: V2Server) -> None:
    scripted.body = b'[{"name": "a", "state": "READY"}]'
    first = await client.index()
    assert await client.index() is first
    scripted.body = b'[{"name": "a", "state": "LOADING"}]'
    assert await client.index() == {"a": ServerModel(ServerState.LOADING)}
    scripted.status = 500
    with pytest.raises(ServerUnavailableError):
        await client.index()


async def test_v2_client_sends_key_with_every_call(scripted: FakeV2Server) -> None:
    scripted.body = b"[]"
    with_key, without = V2Server(scripted.url, key="the-uid"), V2Server(scripted.url)
    for client in (with_key, without):
        await client.index()
        await client.load("a")
        await client.unload("a")
        await client.close()
    assert scripted.keys == ["the-uid"] * 3 + [None] * 3


@pytest.mark.parametrize(("dialect", "kind"), [("v2", V2Server), ("mlserver", MLServer), ("v1", V1Server)])
def test_dialects_registry_has_client_of_each_dialect(dialect: str, kind: type) -> None:
    settings = AgentSettings.from_env({"MANYSERVE_SERVER_DIALECT": dialect})
    assert type(DIALECTS[settings.server_dialect](settings.server_url, settings.server_key, ())) is kind


def test_dialect_unknown_is_named_in_error() -> None:
    with pytest.raises(
        StartupError, match="MANYSERVE_SERVER_DIALECT='v3' is not valid: it must be one of v2, mlserver, v1"
    ):
        AgentSettings.from_env({"MANYSERVE_SERVER_DIALECT": "v3"})


def test_settings_hide_server_key_in_repr() -> None:
    assert "the-uid" not in repr(AgentSettings.from_env({"MANYSERVE_SERVER_KEY": "the-uid"}))


async def test_v2_unload_of_unknown_model_succeeds(scripted: FakeV2Server, client: V2Server) -> None:
    scripted.status = 404
    await client.unload("a")
    scripted.status = 500
    with pytest.raises(LoadRejectedError):
        await client.unload("a")


async def test_v2_connection_error_means_server_is_unavailable() -> None:
    client = V2Server("http://127.0.0.1:1")
    with pytest.raises(ServerUnavailableError, match="does not answer"):
        await client.load("a")
    await client.close()


POLLED = "failed to load 'a', failed to poll from model repository"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["model.onnx"], "the model is the single file model.onnx, and Triton needs .* such as 1/model.onnx, and"),
        (["resnet50.pt"], "the model is the single file resnet50.pt, and Triton needs .* such as 1/model.pt, and"),
        (["config.pbtxt", "model.onnx"], "the model has no version folder, and Triton needs .* such as 1/model.onnx,"),
        (["resnet/1/model.onnx", "resnet/config.pbtxt"], "the model has no version folder, and Triton needs"),
        (["01/model.onnx"], "the model has no version folder, and Triton needs"),
        (["1/model.onnx"], ""),
        (["config.pbtxt", "12/model.onnx"], ""),
    ],
)
def test_v2_explains_folder_in_which_triton_finds_no_model(tmp_path: Path, files: list[str], words: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    server = V2Server("http://127.0.0.1:1")
    explained = server.explain(tmp_path, POLLED)
    assert re.match(words, explained)
    assert explained.endswith(f"; the server's answer: {POLLED}") if words else explained == POLLED
    assert server.explain(tmp_path, "out of memory") == "out of memory"
    assert server.explain(tmp_path / "gone", POLLED) == POLLED


PROGRAM = """
import os
from manyserve.agent.main import run
from manyserve.agent.settings import AgentSettings
run(AgentSettings.from_env(os.environ))
"""


async def test_agent_program_stops_at_sigterm_without_unload(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.config.write(entry("a"))
    settings = {
        "MANYSERVE_STORE_DIR": str(pod.root),
        "MANYSERVE_CONFIG_FILE": str(pod.config.path),
        "MANYSERVE_SERVER_URL": pod.settings.server_url,
        "MANYSERVE_GCS_ENDPOINT": pod.settings.sources.gcs_endpoint or "",
        "MANYSERVE_AGENT_PORT": str(free_port()),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    pipe = asyncio.subprocess.PIPE
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=os.environ | settings, stdout=pipe)
    await eventually(lambda: pod.triton.served == {"a": ""})
    agent.send_signal(signal.SIGTERM)
    async with asyncio.timeout(LIMIT):
        output, _ = await agent.communicate()
    assert agent.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[-1]["msg"] == "agent is stopped"
    assert pod.triton.calls == ["load a"]
    assert (pod.root / "models" / "a" / "content").stat().st_mode & 0o777 == 0o640
