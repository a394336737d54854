"""Objects with a value at a path, for tests of the rules."""

from __future__ import annotations

from typing import Any

from tests.support.make import Manifest, host_object, model_object, server_path


def model_with(path: str, value: Any) -> Manifest:
    return _with(model_object(), path, value)


def host_with(path: str, value: Any) -> Manifest:
    """Return a host with a value at a path; `SERVER` in the path is replaced by the field of the server."""
    return _with(host_object(), resolved_path(path), value)


def resolved_path(path: str) -> str:
    return path.replace("spec.predictor.SERVER", server_path())


def _with(manifest: Manifest, path: str, value: Any) -> Manifest:
    node = manifest
    *parents, last = path.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return manifest


def server(raw: Manifest) -> Manifest:
    container: Manifest = raw["spec"]["predictor"][server_path().rpartition(".")[2]]
    return container


def sentences(problems: list[Any]) -> list[str]:
    return [str(problem) for problem in problems]
