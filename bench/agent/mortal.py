"""The agent, with a volume that kills it: before the nth step on the file system it is killed.

The number is the only argument.
"""

from __future__ import annotations

import os
import signal
import sys

import uvloop

from manyserve import logs
from manyserve.agent.main import UMASK, serve
from manyserve.agent.settings import AgentSettings
from manyserve.agent.volume.durable_fs import FileSystem


class KillingFileSystem(FileSystem):
    """Takes so many steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __getattribute__(self, name: str) -> object:
        attribute = super().__getattribute__(name)
        if not name.startswith("_") and callable(attribute):
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
        return attribute


if __name__ == "__main__":
    os.umask(UMASK)
    logs.set_up("INFO")
    uvloop.run(serve(AgentSettings.from_env(os.environ), KillingFileSystem(int(sys.argv[1]))))
