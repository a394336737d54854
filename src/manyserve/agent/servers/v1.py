"""Client of the v1 protocol with the repository calls of KServe's own servers (sklearn, xgboost, lightgbm).

They list the names of all models, and the readiness of one model at a time. The client requests the readiness of
models that are new in the list or were just loaded. Of the ready ones it requests `_RECHECKS` in turn, so that a
thousand models are not a thousand requests each second. These servers run one request at a time. The list is late
during a load, so its time limit is longer than that of other servers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers.base import Connection, LoadRejectedError, Response, ServerUnavailableError
from manyserve.redaction import one_line

_LIST_LIMIT = 32 * 1024 * 1024
_RECHECKS = 4  # ready models that are requested again at each poll
_READY = ServerModel(ServerState.READY)


class V1Server:
    """Client of one server that speaks v1."""

    indexes_folders = False

    def __init__(self, url: str, *, index_seconds: float = 30.0) -> None:
        self._connection = Connection(url)
        self._index_seconds = index_seconds
        self._known: dict[str, ServerModel] = {}
        """Last answer about each model, the oldest answer first."""
        self._last: Mapping[str, ServerModel] = {}

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model that the server lists."""
        try:
            async with asyncio.timeout(self._index_seconds):
                listed = await self._listed()
                await self._recheck(listed)
        except TimeoutError as error:
            raise ServerUnavailableError(f"the server's list did not come within {self._index_seconds:g} s") from error
        models = {name: self._known[name] for name in listed if name in self._known}
        if models != self._last:
            self._last = models
        return self._last

    async def load(self, name: str) -> None:
        """Load a model; the caller sets the time limit."""
        answer = await self._connection.request("POST", f"/v2/repository/models/{name}/load", body=b"{}")
        self._known.pop(name, None)
        if answer.status != 200:
            raise LoadRejectedError(answer.reason or f"the load was answered with {answer.status}")

    async def unload(self, name: str) -> None:
        """Unload a model; an unknown one counts as unloaded."""
        answer = await self._connection.request("POST", f"/v2/repository/models/{name}/unload", body=b"{}")
        self._known.pop(name, None)
        if answer.status not in {200, 404}:
            raise LoadRejectedError(answer.reason or f"the unload was answered with {answer.status}")

    def steps(self, _: Path) -> tuple[str, ...]:
        """Return nothing: these servers have no ensembles."""
        return ()

    def prepare(self, name: str, folder: Path) -> None:
        """Do nothing: the files are enough."""

    def content_error(self, name: str, framework: str, folder: Path) -> str:
        """Return nothing: these servers have no settings in the files."""
        return ""

    def explain(self, folder: Path, reason: str) -> str:
        """Return the reason as it is."""
        return reason

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _listed(self) -> list[str]:
        answer = await self._connection.request("GET", "/v1/models", limit=_LIST_LIMIT)
        if answer.status != 200:
            raise ServerUnavailableError(f"the server's list answered {answer.status}: {answer.reason}")
        return read_list(answer.body)

    async def _recheck(self, listed: list[str]) -> None:
        """Request the readiness of models that are not known to be ready, and of a few others."""
        names = set(listed)
        self._known = {name: state for name, state in self._known.items() if name in names}
        unsure = [name for name in listed if self._known.get(name) != _READY]
        others = islice((name for name, state in self._known.items() if state == _READY), _RECHECKS)
        for name in [*unsure, *others]:
            state = read_ready(await self._connection.request("GET", f"/v1/models/{name}"))
            self._known.pop(name, None)
            if state:
                self._known[name] = state


def read_list(body: bytes) -> list[str]:
    """Return the names in a list: bare in 0.6, under `models` since. Raises `ServerUnavailableError` for other data."""
    try:
        data = json.loads(body)
        names = data["models"] if isinstance(data, dict) else data
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    except (ValueError, KeyError, RecursionError):
        pass
    raise ServerUnavailableError(f"the server's list cannot be read: {one_line(body[:256].decode(errors='replace'))}")


def read_ready(answer: Response) -> ServerModel | None:
    """Return the state of a model from an answer; None when the server does not know the model."""
    if answer.status == 404:
        return None
    if answer.status != 200:
        return ServerModel(ServerState.UNAVAILABLE, answer.reason)
    try:
        ready = str(json.loads(answer.body)["ready"]).lower()
    except (ValueError, TypeError, KeyError, RecursionError):
        ready = ""
    return _READY if ready == "true" else ServerModel(ServerState.UNAVAILABLE, answer.reason)
