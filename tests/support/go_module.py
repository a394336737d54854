"""Folders of Go modules with files that tests read; the ordinary client brings them, and its cache keeps them."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from localcluster.process import run
from localcluster.tools import GO_ENV


@cache
def folder_of(module: str, version: str, digest: str) -> Path:
    """Return the folder of a module of this version and with this sum, as a go.sum has it."""
    with tempfile.TemporaryDirectory() as folder:
        printed = run(["go", "mod", "download", "-json", f"{module}@{version}"], env=GO_ENV, cwd=Path(folder))
    described = json.loads(printed)
    assert described["Sum"] == digest
    return Path(described["Dir"])
