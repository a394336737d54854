"""MLServer: v2, in a dialect of its own.

It finds a model by the file `model-settings.json`, and by the name in it, never by the folder. The folders of
KServe's users have no such file (a `model.joblib` is all there is), and one that is copied for two models names
both alike. So the agent writes the file, or the right name into the one that came; which runtime loads the model
is said to the server for all of them, and a file that names another one wins.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from manyserve.agent.servers.base import ServerRefusedError
from manyserve.agent.servers.v2 import V2Server

SETTINGS = "model-settings.json"
_NO_REASON = "Internal Server Error"


class MLServer(V2Server):
    """A server that speaks v2 as MLServer does."""

    async def load(self, name: str) -> None:
        """Load a model. Why it failed stands in the server's log only."""
        try:
            await super().load(name)
        except ServerRefusedError as error:
            if str(error) == _NO_REASON:
                raise ServerRefusedError("the server could not load it, and says why in its log only") from error
            raise

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


def named(name: str, given: Any) -> dict[str, Any] | None:
    """Return the settings with the model's name, or None when there is nothing to write."""
    if not isinstance(given, dict) or given.get("name") == name:
        return None
    return given | {"name": name}
