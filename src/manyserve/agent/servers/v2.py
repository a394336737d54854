"""Client of the repository extension of the v2 protocol, as Triton speaks it.

The index is requested every second and rarely changes. For the same bytes as the last time, the client returns the
same mapping without parsing. Where the load API is restricted, every call carries the key.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers import textproto
from manyserve.agent.servers.backends import CONFIG, backend_error
from manyserve.agent.servers.base import Connection, LoadRejectedError, Response, ServerUnavailableError
from manyserve.redaction import READ_LIMIT, one_line

KEY_HEADER = "manyserve-key"
MAX_STEPS = 1000
"""Steps of an ensemble, which the agent keeps in memory for each one."""
_INDEX_LIMIT = 32 * 1024 * 1024
# With several versions of a model in the index, the first of these states counts.
_PRECEDENCE = (ServerState.LOADING, ServerState.READY, ServerState.UNLOADING, ServerState.UNAVAILABLE)

_NO_MODEL = re.compile("failed to poll|no version is available|at least one version", re.IGNORECASE)
"""Triton's answers for a folder in which it finds no model."""
_VERSION = re.compile("[1-9][0-9]*")
_STATES = {state.value: state for state in ServerState}
_WITHOUT_REASON = {state: ServerModel(state) for state in ServerState}


class V2Server:
    """Client of one server that speaks v2."""

    indexes_folders = True

    def __init__(
        self, url: str, *, key: str | None = None, index_seconds: float = 5.0, backends: Sequence[str] = ()
    ) -> None:
        self._connection = Connection(url, {KEY_HEADER: key} if key else None)
        self._index_seconds = index_seconds
        self._backends = backends
        """Allowed backends of Triton; none: they are not checked."""
        self._last: tuple[bytes, Mapping[str, ServerModel]] = (b"[]", {})

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model in the server's index."""
        try:
            async with asyncio.timeout(self._index_seconds):
                answer = await self._post("index", b'{"ready": false}', _INDEX_LIMIT)
        except TimeoutError as error:
            raise ServerUnavailableError(f"the server's index did not come within {self._index_seconds:g} s") from error
        if answer.status != 200:
            raise ServerUnavailableError(f"the server's index answered {answer.status}: {answer.reason}")
        if answer.body != self._last[0]:
            self._last = (answer.body, read_index(answer.body))
        return self._last[1]

    async def load(self, name: str) -> None:
        """Load a model; the caller sets the time limit."""
        answer = await self._post(f"models/{name}/load", b"{}")
        if answer.status != 200:
            raise LoadRejectedError(answer.reason or f"the load was answered with {answer.status}")

    async def unload(self, name: str) -> None:
        """Unload a model; an unknown one counts as unloaded."""
        answer = await self._post(f"models/{name}/unload", b"{}")
        if answer.status not in {200, 404}:
            raise LoadRejectedError(answer.reason or f"the unload was answered with {answer.status}")

    def steps(self, folder: Path) -> tuple[str, ...]:
        """Return the steps of an ensemble; none for any other model, and for a configuration that cannot be read."""
        try:
            steps = read_steps(textproto.read(folder / CONFIG))
        except (OSError, ValueError):
            return ()
        if len(steps) > MAX_STEPS:
            raise LoadRejectedError(f"{CONFIG} names {len(steps)} steps, more than the limit of {MAX_STEPS}")
        return steps

    def prepare(self, name: str, folder: Path) -> None:
        """Do nothing: the files are enough."""

    def content_error(self, name: str, framework: str, folder: Path) -> str:
        """Return the sentence about a backend that is not allowed; nothing for a server other than Triton."""
        return backend_error(framework, self._backends, folder) if self._backends else ""

    def explain(self, folder: Path, reason: str) -> str:
        """Return the reason; before it, the layout that Triton needs if the folder does not have it."""
        problem = layout_problem(folder) if _NO_MODEL.search(reason) else ""
        return f"{problem}; the server's answer: {reason}" if problem else reason

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _post(self, path: str, body: bytes, limit: int = READ_LIMIT) -> Response:
        return await self._connection.request("POST", f"/v2/repository/{path}", body=body, limit=limit)


def layout_problem(folder: Path) -> str:
    """Return the sentence about a folder that is no model of Triton's repository; empty for one that is."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return ""
    if any(path.is_dir() and _VERSION.fullmatch(path.name) for path in paths):
        return ""
    only = paths[0] if len(paths) == 1 and paths[0].is_file() else None
    given = f"is the single file {only.name}" if only else "has no version folder"
    example = f"1/model{only.suffix}" if only else "1/model.onnx"
    return (
        f"the model {given}, and Triton needs its repository layout: a folder with the number of each version, "
        f"such as {example}, and for most frameworks config.pbtxt beside it"
    )


def read_steps(config: textproto.Message) -> tuple[str, ...]:
    """Return the models in the steps of an ensemble's `config.pbtxt`, each once."""
    names: dict[str, None] = {}
    for ensemble in _messages(config, "ensemble_scheduling"):
        for step in _messages(ensemble, "step"):
            names |= {str(name): None for name in step.get("model_name", ())}
    return tuple(names)


def _messages(message: textproto.Message, field: str) -> list[textproto.Message]:
    return [value for value in message.get(field, ()) if isinstance(value, dict)]


def read_index(body: bytes) -> dict[str, ServerModel]:
    """Return the models of an index. Raises `ServerUnavailableError` for other data."""
    try:
        rows: list[Any] = json.loads(body)
        models: dict[str, ServerModel] = {}
        for row in rows:
            name, model = str(row["name"]), _server_model(row)
            models[name] = min(models[name], model, key=_rank) if name in models else model
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ServerUnavailableError(f"the server's index cannot be read: {one_line(error)}") from error
    return models


def _server_model(row: Mapping[str, Any]) -> ServerModel:
    state, reason = row.get("state"), row.get("reason")
    server_state = _STATES.get(state or "", ServerState.UNAVAILABLE)
    return ServerModel(server_state, one_line(reason)) if reason else _WITHOUT_REASON[server_state]


def _rank(model: ServerModel) -> int:
    return _PRECEDENCE.index(model.state) if model.state in _PRECEDENCE else len(_PRECEDENCE)
