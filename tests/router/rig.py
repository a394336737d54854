"""Rig: real Envoys and real router programs, in front of strict pods."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from tests.router.pods import SERVICE, PodPorts, StrictPod, first_field
from tests.support.eventually import eventually
from tests.support.programs import PROJECT, free_ports

LIMIT = 30.0
POLL = 0.02
PROGRAM = ("-c", "from manyserve.cli import main; main()", "router")


@dataclass
class RouterPod:
    """One Envoy and its router program."""

    name: str
    folder: Path
    envoy: str
    pods_file: Path
    ports: PodPorts
    settings: dict[str, str] = field(default_factory=dict)
    running: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        names = ("PORT", "HTTP_PORT", "GRPC_PORT")
        self.port, self.http_port, self.grpc_port, self.status_port, *activator = free_ports(6)
        own = dict(zip(names, (self.port, self.http_port, self.grpc_port), strict=True))
        self.env = {f"MANYSERVE_ROUTER_{name}": str(port) for name, port in own.items()} | {
            "MANYSERVE_ROUTER_ID": self.name,
            "MANYSERVE_ROUTER_ADDRESS": "127.0.0.1",
            "MANYSERVE_PODS_FILE": str(self.pods_file),
            "MANYSERVE_RUN_DIR": str(self.folder),
            "MANYSERVE_ENVOY_STATUS_PORT": str(self.status_port),
            "MANYSERVE_ACTIVATOR_HTTP_PORT": str(activator[0]),
            "MANYSERVE_ACTIVATOR_GRPC_PORT": str(activator[1]),
            "MANYSERVE_AGENT_PORT": str(self.ports.agent),
            "MANYSERVE_SERVER_HTTP_PORT": str(self.ports.http),
            "MANYSERVE_SERVER_GRPC_PORT": str(self.ports.grpc),
            "MANYSERVE_ENDPOINT_SECONDS": "0.2",
            "PYTHONPATH": f"{PROJECT / 'src'}",
        }
        self.env |= self.settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def api(self) -> str:
        """URL of the router program."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self.start_program()
        await self.start_envoy()

    async def start_program(self) -> None:
        await self._run("program", [sys.executable, *PROGRAM])

    async def start_envoy(self) -> None:
        config = self.folder / "envoy.json"
        write = await asyncio.create_subprocess_exec(
            sys.executable, *PROGRAM, "--envoy-config", str(config), env=os.environ | self.env
        )
        assert await write.wait() == 0
        options = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")
        await self._run("envoy", [self.envoy, "-c", str(config), *options])

    async def _run(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *command, env=os.environ | self.env, stdout=log, stderr=log
            )

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.running.pop(name)
        process.send_signal(number)
        await process.wait()

    async def close(self) -> None:
        for name, process in tuple(self.running.items()):
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                await self.kill(name)


@dataclass
class Rig:
    """Strict pods and routers."""

    folder: Path
    envoy: str
    pods: list[StrictPod]
    ports: PodPorts
    routers: list[RouterPod] = field(default_factory=list)
    http: aiohttp.ClientSession = field(
        default_factory=lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    )

    @property
    def pods_file(self) -> Path:
        return self.folder / "pods.json"

    @property
    def router(self) -> RouterPod:
        return self.routers[0]

    def write_pods(self, *pods: StrictPod) -> None:
        text = self.pods_file.with_suffix(".new")
        text.write_text(json.dumps([pod.entry for pod in pods]))
        text.rename(self.pods_file)

    async def add_router(self, *, start: bool = True, **settings: str) -> RouterPod:
        name = f"router-{len(self.routers)}"
        router = RouterPod(name, self.folder / name, self.envoy, self.pods_file, self.ports, settings)
        self.routers.append(router)
        if start:
            await router.start()
            await self.is_ready(router)
        return router

    async def is_ready(self, router: RouterPod) -> None:
        """Wait until a router is ready; a failure has its logs."""
        try:
            await eventually(lambda: self._readyz(router), f"{router.name} is ready", LIMIT, POLL)
        except AssertionError as error:
            logs = [log.read_text()[-2000:] for log in sorted(router.folder.glob("*.log"))]
            raise AssertionError("\n".join([str(error), *logs])) from error

    async def _readyz(self, router: RouterPod) -> bool:
        return await self.readiness(router) == 200

    async def readiness(self, router: RouterPod) -> int:
        """Return the status of `/readyz`; 0 without an answer."""
        try:
            async with self.http.get(f"{router.api}/readyz") as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    async def status(self, router: RouterPod | None = None) -> dict[str, Any]:
        async with self.http.get(f"{(router or self.router).api}/status") as answer:
            status: dict[str, Any] = await answer.json()
        return status

    async def ask(self, path: str, router: RouterPod | None = None, **options: Any) -> tuple[int, Any]:
        """Post to a path. Return the status, and the body of JSON or its text."""
        url = f"{(router or self.router).url}{path}"
        async with self.http.request(options.pop("method", "POST"), url, **({"data": b"{}"} | options)) as answer:
            text = await answer.text()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    async def infer(self, model: str, router: RouterPod | None = None) -> int:
        """Return the status of an inference request; 0 without an answer."""
        try:
            return (await self.ask(f"/v2/models/{model}/infer", router))[0]
        except (aiohttp.ClientError, OSError):
            return 0

    async def answers(self, *models: str, router: RouterPod | None = None) -> None:
        """Wait until each model answers through a router."""
        for model in models:
            await eventually(lambda m=model: self._answers(m, router), f"{model} answers", LIMIT, POLL)  # type: ignore[misc]

    async def _answers(self, model: str, router: RouterPod | None) -> bool:
        return await self.infer(model, router) == 200

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[GrpcClient]:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.router.grpc_port}", options=options) as channel:
            yield GrpcClient(channel)

    def misrouted(self) -> list[str]:
        return [each for pod in self.pods for each in pod.misrouted]

    async def close(self) -> None:
        for router in self.routers:
            await router.close()
        await self.http.close()
        for pod in self.pods:
            await pod.stop()


class GrpcClient:
    """Client of raw messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def unary(self, method: str, message: bytes, **headers: str) -> str:
        """Return the text of the response, or the code and the details of an error."""
        call = self._channel.unary_unary(f"{SERVICE}{method}")
        metadata = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        try:
            return first_field(await call(message, metadata=metadata, timeout=20))
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"

    async def without_message(self, method: str, **headers: str) -> str:
        """Return the code of a request that ends before its first message."""
        metadata = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        call = self._channel.stream_stream(f"{SERVICE}{method}")(metadata=metadata, timeout=20)
        await call.done_writing()
        return str((await call.code()).name)

    async def raw(self, method: str, message: bytes) -> bytes:
        return bytes(await self._channel.unary_unary(f"{SERVICE}{method}")(message, timeout=20))

    async def stream(self, *messages: bytes) -> list[str]:
        """Return the responses of a bidirectional stream; each message is sent after the response to the last one."""
        call = self._channel.stream_stream(f"{SERVICE}ModelStreamInfer")(timeout=20)
        responses = []
        for message in messages:
            await call.write(message)
            responses.append(first_field(await call.read()))
        await call.done_writing()
        return responses
