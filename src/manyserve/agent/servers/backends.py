"""Backends of Triton: those that a model's configuration and files name, against those of its framework.

A backend decides which code runs. `backend: "python"` runs the model's own code, whatever its framework says. So does
a library of the model's own, which Triton prefers to its own backend of that name. Without a backend in the
configuration, Triton takes it from the platform, from the name of the file, or from the files of a version. All
configurations of a folder count, since `--model-config-name` chooses one.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from manyserve.agent.servers import textproto
from manyserve.agent.servers.base import RefusedFilesError
from manyserve.agent.servers.textproto import Message

CONFIG = "config.pbtxt"
MAX_BYTES = textproto.MAX_CHARACTERS
"""Bytes of all configurations of a model."""
ANY = "*"
"""The allowed backend that stands for all."""
PYTHON = "python"
"""The backend, and the framework, of models that run their own code."""
ENSEMBLE = "ensemble"
_EXPORTS = ("onnxruntime", "openvino", "tensorrt")
"""Backends of formats to which the frameworks export their models."""
FRAMEWORKS: Mapping[str, tuple[str, ...]] = {
    "onnx": _EXPORTS,
    "tensorrt": ("tensorrt", "tensorrtllm"),
    "tensorflow": ("tensorflow", *_EXPORTS),
    "pytorch": ("pytorch", *_EXPORTS),
    "caffe2": ("caffe2", *_EXPORTS),
}
"""Backends of each framework. Any other framework has the backend of its name, and `python` has all of them."""
PLATFORMS: Mapping[str, str] = {
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "caffe2_netdef": "caffe2",
}
FILES: Mapping[str, str] = {
    "model.savedmodel": "tensorflow",
    "model.graphdef": "tensorflow",
    "model.plan": "tensorrt",
    "model.onnx": "onnxruntime",
    "model.xml": "openvino",
    "model.pt": "pytorch",
    "model.py": PYTHON,
}
"""Backends by the file of a version, in the order in which Triton looks for them."""
_LIBRARY = "libtriton_*.so"


def backend_error(framework: str, allowed: Sequence[str], folder: Path) -> str:
    """Return the sentence about a backend that is not allowed or not of the framework; empty if there is none.

    Raises `RefusedFilesError` for a configuration that cannot be read.
    """
    own = FRAMEWORKS.get(framework, (framework,))
    for place, backend in _used(folder):
        if backend not in own and framework != PYTHON:
            return f"{place} needs the backend {backend}, and the framework {framework} has: {', '.join(own)}"
        if backend not in allowed and ANY not in allowed:
            return f"{place} needs the backend {backend}; allowedBackends has: {', '.join(allowed)}"
    return ""


def _used(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the backends that the server may use for the folder, each with the file that names it."""
    configs = [file for file in (folder / CONFIG, *sorted(folder.glob("configs/*.pbtxt"))) if file.exists()]
    if sum(file.stat().st_size for file in configs) > MAX_BYTES:
        raise RefusedFilesError(f"the model has more than {MAX_BYTES} bytes in {CONFIG} and configs/*.pbtxt")
    is_open = not configs
    for file in configs:  # one message at a time is in memory
        message = read_config(file)
        yield from ((f"{file.relative_to(folder)}", backend) for backend in _named(message))
        is_open |= _is_open(message)
    if is_open:
        yield from _guessed(folder)
    for parent, _, names in os.walk(folder):
        if libraries := fnmatch.filter(names, _LIBRARY):
            yield f"the library {Path(parent, libraries[0]).relative_to(folder)}", PYTHON


def read_config(file: Path) -> Message:
    """Parse a configuration. Raises `RefusedFilesError`."""
    try:
        return textproto.read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RefusedFilesError(f"{file.name} cannot be read: {reason}") from None


def _texts(message: Message, field: str) -> list[str]:
    return [value for value in message.get(field, ()) if isinstance(value, str) and value]


def _is_open(message: Message) -> bool:
    """Return whether Triton takes the backend from the files."""
    return not any(_texts(message, field) for field in ("backend", "platform", "default_model_filename"))


def _named(message: Message) -> Iterator[str]:
    """Yield the backends that a configuration names. A library of the model's own counts as its own code."""
    backends = _texts(message, "backend")
    yield from backends
    yield from (PLATFORMS.get(each, each) for each in _texts(message, "platform") if each != ENSEMBLE)
    files = _texts(message, "default_model_filename")
    if not backends:
        yield from (FILES[each] for each in files if each in FILES)
    libraries = {f"libtriton_{backend}.so" for backend in backends}
    if not libraries.issuperset(_texts(message, "runtime")) or message.get("model_operations"):
        yield PYTHON


def _guessed(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the backends that Triton takes from the files of each version."""
    for version in sorted(path for path in folder.iterdir() if path.is_dir()):
        file = next((each for each in FILES if (version / each).exists()), None)
        if file:
            yield f"{version.name}/{file}", FILES[file]
