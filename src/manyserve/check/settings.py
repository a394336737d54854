"""Settings of `manyserve check`."""

from __future__ import annotations

from pydantic import Field

from manyserve.settings_env import Settings, env
from manyserve.settings_types import Names, Seconds


class CheckSettings(Settings):
    """Settings of `manyserve check`. An empty name of a list means that the check is left out."""

    namespace: str = Field(validation_alias="POD_NAMESPACE", description="the namespace of the release")
    """The namespace of the Deployments."""
    deployments: Names = env("MANYSERVE_CHECK_DEPLOYMENTS", default=("manyserve-operator", "manyserve-webhook"))
    """The Deployments of the programs."""
    review_namespace: str = env("MANYSERVE_CHECK_NAMESPACE", default="")
    """The namespace in which a wrong model is tried out; empty: the webhook is not checked."""
    timeout: Seconds = env("MANYSERVE_CHECK_TIMEOUT", default=60.0)
    """Seconds until all checks must succeed."""
