"""The running cluster, as the walkthrough's tests know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """The running cluster: its environment and what the demo printed."""

    env: dict[str, str]
    demo: str

    @property
    def gateway(self) -> str:
        """The URL of the gateway."""
        return f"http://{self.env['INGRESS_HOST']}:{self.env['INGRESS_PORT']}"
