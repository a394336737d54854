"""Cases of the table about a model and its server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from manyserve.agent.content import Content, refuse_new
from manyserve.agent.servers import LoadRejectedError, RefusedFilesError, V2Server, textproto
from manyserve.agent.servers.backends import MAX_BYTES as MAX_CONFIG_BYTES
from manyserve.agent.servers.backends import backend_error
from manyserve.agent.servers.mlserver_settings import MAX_BYTES, MAX_FILES, MAX_VALUES
from manyserve.agent.servers.v2 import MAX_STEPS
from manyserve.agent.settings import MIB, AgentSettings
from tests.agent.servers.test_backends import ANY
from tests.agent.servers.test_backends import put as put_configs
from tests.agent.servers.test_mlserver_settings import SERVER, prepared, put
from tests.agent.servers.test_textproto import ensemble
from tests.agent.support import entry, fake_pod
from tests.agent.test_content import new
from tests.support.eventually import eventually

FAR = 10
"""Multiples of a limit that are far above it."""


def refused(folder: Path, sentence: str) -> None:
    """Require that the folder is refused with this start of the sentence."""
    with pytest.raises(RefusedFilesError, match=f"^{re.escape(sentence)}"):
        SERVER.prepare("a", folder)


def settings_names(folder: Path) -> None:
    own = prepared(put(folder / "own", **{"/": {"name": "a"}}))
    assert own == {".": {"name": "a"}}
    other = prepared(put(folder / "other", **{"/": {}, "x__y__z": {"name": "victim"}}))
    assert {path: each["name"] for path, each in other.items()} == {".": "a", "x/y/z": "a.x.y.z"}


def settings_sum(folder: Path) -> None:
    assert len(prepared(put(folder / "files", **{str(each): {} for each in range(MAX_FILES)}))) == MAX_FILES
    many = put(folder / "many", **{str(each): {} for each in range(FAR * MAX_FILES)})
    refused(many, f"the model has more than {MAX_FILES} files")

    def padded(size: int) -> bytes:
        return b'{"kept": "%s"}' % (b"x" * (size - len('{"kept": ""}')))

    assert prepared(put(folder / "bytes", **{"/": padded(MAX_BYTES)}))
    refused(put(folder / "large", **{"/": padded(FAR * MAX_BYTES)}), f"the model has more than {MAX_BYTES} bytes")
    few: Any = {"kept": [{}] * (MAX_VALUES // 2 - 2)}
    assert prepared(put(folder / "few", **{"/": few}))
    far: Any = {"kept": [{}] * (FAR // 2 * MAX_VALUES // 2)}
    refused(put(folder / "values", **{"/": far}), f"the model has more than {MAX_VALUES} values")


def settings_form(folder: Path) -> None:
    assert prepared(put(folder / "object", **{"/": {}}))
    refused(put(folder / "list", **{"/": ["name"]}), "model-settings.json cannot be read: it must be a JSON object")
    linked = put(folder / "linked", **{"/": {}})
    (linked / "1").symlink_to(folder / "object")
    refused(linked, "1 must be a file, and is a link or a folder")


def settings_uri(folder: Path) -> None:
    for number, uri in enumerate(("./model.joblib", "/mnt/models/a/model.joblib")):
        own = put(folder / f"own{number}", **{"/": {"parameters": {"uri": uri}}})
        assert SERVER.content_error("a", "sklearn", own) == ""
    other = put(folder / "other", **{"/": {"parameters": {"uri": "/mnt/models/victim/model.joblib"}}})
    assert SERVER.content_error("a", "sklearn", other).endswith("must be a path in the model's folder")


def configurations(folder: Path) -> None:
    half = f"#{' ' * (MAX_CONFIG_BYTES // 2 - 1)}"
    put_configs(folder, "1/model.onnx", config=half, gpu=half)
    assert backend_error("onnx", ANY, folder) == ""
    put_configs(folder, config="a:1\n" * textproto.MAX_VALUES, gpu="a:1\n" * textproto.MAX_VALUES)
    assert backend_error("onnx", ANY, folder) == ""
    large = (half * FAR, f"more than {MAX_CONFIG_BYTES} bytes")
    dense = ("a:1\n" * 4 * textproto.MAX_VALUES, f"more than {textproto.MAX_VALUES} values")
    for text, words in (large, dense, ("backend", "cannot be read")):
        put_configs(folder, config=text, gpu="")
        with pytest.raises(RefusedFilesError, match=words):
            backend_error("onnx", ANY, folder)


def steps(folder: Path) -> None:
    server = V2Server("http://x")
    for count in (MAX_STEPS, FAR * MAX_STEPS):
        put_configs(folder, config=ensemble(count))
        if count == MAX_STEPS:
            assert len(server.steps(folder)) == MAX_STEPS
    with pytest.raises(LoadRejectedError, match=f"names {FAR * MAX_STEPS} steps, more than the limit of {MAX_STEPS}"):
        server.steps(folder)


def backends(folder: Path) -> None:
    allowed = ("onnxruntime", "python")
    put_configs(folder, "1/model.onnx", config='backend: "onnxruntime"')
    assert backend_error("onnx", allowed, folder) == ""
    put_configs(folder, config='backend: "python"')
    assert "needs the backend python, and the framework onnx has: " in backend_error("onnx", allowed, folder)
    put_configs(folder, config='backend: "openvino"')
    assert backend_error("onnx", allowed, folder).endswith("openvino; allowedBackends has: onnxruntime, python")


def memory(_: Path) -> None:
    refuse_new(new("a", "1Mi"), Content(MIB))
    with pytest.raises(RefusedFilesError, match=r"its files have 10Mi \(10485760 bytes\), more than .* memory of 1Mi"):
        refuse_new(new("a", "1Mi"), Content(FAR * MIB))
    refuse_new(entry("a", memory="1Mi"), Content(FAR * MIB))  # it was placed before the rules


async def hanging_loads(folder: Path) -> None:
    names = tuple(f"h{number}" for number in range(AgentSettings().unfinished_loads))
    entries = [entry(name) for name in names]
    named = f"the model server has not finished {len(names)} loads: {', '.join(names)}"
    async with fake_pod(folder, unload_seconds=0.5) as pod:
        for name in (*names, "fits", "waits"):
            pod.bucket.put(name, name)
        pod.triton.hanging |= set(names)
        pod.config.write(*entries[:-1], entry("fits"))
        await pod.start()
        await eventually(lambda: pod.states().get("fits") == "Loaded", "one load fewer than the limit hangs")
        pod.config.write(*entries, entry("fits"))
        await eventually(lambda: pod.triton.loading == set(names))
        pod.config.write(*entries, entry("fits"), entry("waits"))
        await eventually(lambda: "waits" in pod.states() and pod.model("waits").message == f"waits, since {named}")
        pod.config.write(entry("fits"), entry("waits"))
        await eventually(lambda: pod.report.stuck_loads == names)
