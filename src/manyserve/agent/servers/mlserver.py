"""Client of MLServer, which speaks a dialect of v2.

MLServer finds a model by the file `model-settings.json`, and by the name in it, never by the folder. The model
folders of KServe's users have no such file (often only a `model.joblib`), and a folder that is copied for two models
has the same name in both. So the agent writes the file, or the right name into an existing one (`mlserver_settings`).
The runtime of the models is set on the server, for all of them; a file that names another runtime takes precedence.

For its index MLServer reads all these files again, a millisecond each, and answers no other request meanwhile.
So the index takes at most a twentieth of the server's time. In between, the client requests the liveness of the
server, and the readiness of models after a load or unload.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers import mlserver_settings
from manyserve.agent.servers.base import LoadRejectedError, ServerUnavailableError
from manyserve.agent.servers.v2 import V2Server

_NO_REASON = "Internal Server Error"
_LIVE_SECONDS = 5.0
_REST_FACTOR = 19
"""Rest between two requests of the index, in multiples of the duration of the first."""


class MLServer(V2Server):
    """Client of one MLServer."""

    def __init__(self, url: str, *, index_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url, index_seconds=index_seconds)
        self._clock = clock
        self._due = float("-inf")
        self._models: Mapping[str, ServerModel] = {}
        self._touched: set[str] = set()

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model, from the last index and the models' own answers since."""
        started = self._clock()
        try:
            if started < self._due:
                await self._poll_touched()
            else:
                await self._poll_index()
                self._due = self._clock() + _REST_FACTOR * (self._clock() - started)
        except ServerUnavailableError:
            self._due = float("-inf")
            raise
        return self._models

    async def load(self, name: str) -> None:
        """Load a model; the caller sets the time limit."""
        try:
            await super().load(name)
        except LoadRejectedError as error:
            if str(error) == _NO_REASON:
                raise LoadRejectedError("the server could not load it; the reason is in its log only") from error
            raise
        finally:
            self._touched.add(name)

    async def unload(self, name: str) -> None:
        """Unload a model; an unknown one counts as unloaded."""
        try:
            await super().unload(name)
        finally:
            self._touched.add(name)

    def steps(self, _: Path) -> tuple[str, ...]:
        """Return nothing: MLServer has no ensembles."""
        return ()

    def prepare(self, name: str, folder: Path) -> None:
        """Write the model's name into its settings files. Raises `RefusedFilesError` for unreadable ones."""
        mlserver_settings.write_names(name, folder)

    def content_error(self, name: str, _framework: str, folder: Path) -> str:
        """Return the sentence about settings that name files out of the model's folder."""
        return mlserver_settings.outside_error(name, folder)

    async def _poll_index(self) -> None:
        touched, self._touched = self._touched, set()
        try:
            self._models = await super().index()
        except BaseException:
            self._touched |= touched
            raise

    async def _poll_touched(self) -> None:
        """Request the server's liveness, and the readiness of the models that were loaded or unloaded."""
        try:
            async with asyncio.timeout(_LIVE_SECONDS):
                answer = await self._connection.request("GET", "/v2/health/live")
                if answer.status != 200:
                    raise ServerUnavailableError(f"the server's health answered {answer.status}")
                for name in sorted(self._touched):
                    self._touched.discard(name)
                    await self._poll_model(name)
        except TimeoutError as error:
            raise ServerUnavailableError(f"the server did not answer within {_LIVE_SECONDS:g} s") from error

    async def _poll_model(self, name: str) -> None:
        try:
            answer = await self._connection.request("GET", f"/v2/models/{name}/ready")
        except BaseException:
            self._touched.add(name)
            raise
        state = ServerState.READY if answer.status == 200 else ServerState.UNAVAILABLE
        if self._models.get(name) != ServerModel(state):
            self._models = {**self._models, name: ServerModel(state)}
