"""MLServer: v2, in a dialect of its own.

It finds a model by the file `model-settings.json`, and by the name in it, never by the folder. The folders of
KServe's users have no such file (a `model.joblib` is all there is), and one that is copied for two models names
both alike. So the agent writes the file, or the right name into the one that came; which runtime loads the model
is said to the server for all of them, and a file that names another one wins.

For its index it reads all these files again, a millisecond each, and answers nobody meanwhile. So the index is
asked for as seldom as makes it a twentieth of the server's time; between two, the agent asks whether the server
lives, and for the models whose load or unload has just ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers.base import LoadRejectedError, ServerUnavailableError
from manyserve.agent.servers.v2 import V2Server

SETTINGS = "model-settings.json"
_NO_REASON = "Internal Server Error"
_LIVE_SECONDS = 5.0
_REST = 19
"""The index is left alone for so many times as long as it took."""


class MLServer(V2Server):
    """A server that speaks v2 as MLServer does."""

    def __init__(self, url: str, *, index_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url, index_seconds=index_seconds)
        self._clock = clock
        self._due = float("-inf")
        self._seen: Mapping[str, ServerModel] = {}
        self._touched: set[str] = set()

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model, as the index said last or the model's own answer says since."""
        started = self._clock()
        try:
            if started < self._due:
                await self._look_between()
            else:
                await self._look()
                self._due = self._clock() + _REST * (self._clock() - started)
        except ServerUnavailableError:
            self._due = float("-inf")
            raise
        return self._seen

    async def load(self, name: str) -> None:
        """Load a model; the caller sets the time limit."""
        try:
            await super().load(name)
        except LoadRejectedError as error:
            if str(error) == _NO_REASON:
                raise LoadRejectedError("the server could not load it, and says why in its log only") from error
            raise
        finally:
            self._touched.add(name)

    async def unload(self, name: str) -> None:
        """Unload a model; one that the server does not know is unloaded already."""
        try:
            await super().unload(name)
        finally:
            self._touched.add(name)

    def prepare(self, name: str, folder: Path) -> None:
        """Name the model in its settings; what cannot be read is left for the server to refuse."""
        file = folder / SETTINGS
        try:
            given = json.loads(file.read_bytes())
        except FileNotFoundError:
            if any(folder.glob(f"*/{SETTINGS}")):  # one a version
                return
            given = {}
        except (ValueError, RecursionError):
            return
        if settings := named(name, given):
            file.unlink(missing_ok=True)  # it may be a link into a copy that others share
            file.write_text(json.dumps(settings), encoding="utf-8")

    async def _look(self) -> None:
        touched, self._touched = self._touched, set()
        try:
            self._seen = await super().index()
        except BaseException:
            self._touched |= touched
            raise

    async def _look_between(self) -> None:
        """Ask whether the server lives, and for the models that were touched."""
        try:
            async with asyncio.timeout(_LIVE_SECONDS):
                answer = await self._connection.ask("GET", "/v2/health/live")
                if answer.status != 200:
                    raise ServerUnavailableError(f"the server's health answered {answer.status}")
                for name in sorted(self._touched):
                    self._touched.discard(name)
                    await self._ask_for(name)
        except TimeoutError as error:
            raise ServerUnavailableError(f"the server did not answer within {_LIVE_SECONDS:g} s") from error

    async def _ask_for(self, name: str) -> None:
        try:
            answer = await self._connection.ask("GET", f"/v2/models/{name}/ready")
        except BaseException:
            self._touched.add(name)
            raise
        state = ServerState.READY if answer.status == 200 else ServerState.UNAVAILABLE
        if self._seen.get(name) != ServerModel(state):
            self._seen = {**self._seen, name: ServerModel(state)}


def named(name: str, given: Any) -> dict[str, Any] | None:
    """Return the settings with the model's name, or None when there is nothing to write."""
    if not isinstance(given, dict) or given.get("name") == name:
        return None
    return given | {"name": name}
