"""Objects with a value at a path, for tests of the rules."""

from __future__ import annotations

from typing import Any

from tests.support.make import Manifest, host_object, model_object, server_path


def model_with(path: str, value: Any) -> Manifest:
    return _with(model_object(), path, value)


def host_with(path: str, value: Any) -> Manifest:
    """Return a host with a value at a path, in which SERVER stands for the server's own field."""
    return _with(host_object(), here(path), value)


def here(path: str) -> str:
    return path.replace("spec.predictor.SERVER", server_path())


def _with(found: Manifest, path: str, value: Any) -> Manifest:
    node = found
    *parents, last = path.split(".")
    for each in parents:
        node = node.setdefault(each, {})
    node[last] = value
    return found


def server(raw: Manifest) -> Manifest:
    found: Manifest = raw["spec"]["predictor"][server_path().rpartition(".")[2]]
    return found


def sentences(problems: list[Any]) -> list[str]:
    return [str(each) for each in problems]
