"""Argo CD's health checks of objects: Lua scripts, which run in the Lua 5.1 of lupa as Argo CD runs them in its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime

from tests.support.go_module import folder_of

MODULE, VERSION = "github.com/argoproj/argo-cd/v3", "v3.1.0"
SUM = "h1:2+gPskQKCyPC9DzRSWQ1AvmS3WiIlRR7bKz/FO3DozI="
HOSTS = "resource_customizations/serving.kserve.io/InferenceService/health.lua"
PAGE = Path(__file__).parents[2] / "docs" / "argocd.md"
MODELS_KEY = "resource.customizations.health.serving.kserve.io_TrainedModel"
Manifest = dict[str, Any]


def script_of_hosts() -> str:
    """Return the built-in check of InferenceServices, from Argo CD's Go module."""
    return (folder_of(MODULE, VERSION, SUM) / HOSTS).read_text()


def script_of_models() -> str:
    """Return the check of TrainedModels that the page about Argo CD shows."""
    text = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    script: str = yaml.safe_load(text)["data"][MODELS_KEY]
    return script


def health(script: str, manifest: Manifest) -> tuple[str, str]:
    """Return the health of an object and its message."""
    lua = LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(manifest, recursive=True)
    answer = lua.execute(script)
    return answer["status"], answer["message"]
