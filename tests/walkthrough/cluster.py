"""Handle of the running cluster, for the walkthrough's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class DemoCluster:
    """The running cluster: its environment and the output of the demo."""

    env: dict[str, str]
    demo: str

    @property
    def gateway(self) -> str:
        """The URL of the gateway."""
        return f"http://{self.env['INGRESS_HOST']}:{self.env['INGRESS_PORT']}"

    def load(self, image: str) -> None:
        """Load a local image onto the nodes that the demo does not need."""
        words = [sys.executable, "-m", "localcluster", "images", image, "--port", os.environ.get("PORT", "22000")]
        env = os.environ | {"PYTHONPATH": str(ROOT / "deploy" / "local")}
        subprocess.run(words, env=env, check=True, capture_output=True)
