"""Backends of Triton in configurations and files, against the framework and the allowed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyserve.agent.servers import RefusedFilesError, V2Server
from manyserve.agent.servers.backends import MAX_BYTES, backend_error

ANY = ("*",)
NO_PYTHON = ("onnxruntime", "tensorrt")


def put(folder: Path, *files: str, **configs: str | bytes) -> Path:
    """Write empty files and configurations; a key is the name of the configuration without its ending."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    for name, text in configs.items():
        path = folder / ("config.pbtxt" if name == "config" else f"configs/{name}.pbtxt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


PYTHON = [
    'backend: "python"',
    "backend:'python'",
    'backend : "py" "thon" ;',
    'backend: "py"\n# a comment\n\t"thon"',
    'backend: "\\160ython"',
    'backend: "\\x70\\171tho\\u006e"',
    'name: "m" backend: "python" max_batch_size: 0',
    'input { name: "x" }\r\nbackend: "python"',
    'platform: "python"',
    'platform: "onnxruntime_onnx" default_model_filename: "model.py"',
    'default_model_filename: "model.py"',
    'backend: "onnxruntime" backend: "python"',
    'backend: "onnxruntime" runtime: "model.py"',
    'backend: "onnxruntime" runtime: "../victim/libtriton_onnxruntime.so"',
    'backend: "onnxruntime" model_operations { op_library_filename: ["ops.so"] }',
    '# \rbackend: "onnxruntime"\n',
    '# backend: "onnxruntime"\n',
    "",
    b'# caf\xe9 backend: "onnxruntime"\nbackend: "python"',
    b'\xef\xbb\xbfbackend: "python"',
    'ensemble_scheduling { step { } } platform: "ensemble" backend: "python"',
]


@pytest.mark.parametrize("config", PYTHON)
def test_triton_backend_python_is_named_in_every_form(tmp_path: Path, config: str | bytes) -> None:
    put(tmp_path, "1/model.py", config=config)
    assert "needs the backend python, and the framework onnx has: onnxruntime, openvino, tensorrt" in backend_error(
        "onnx", ANY, tmp_path
    )
    assert backend_error("python", NO_PYTHON, tmp_path).endswith(
        "needs the backend python; allowedBackends has: onnxruntime, tensorrt"
    )
    assert backend_error("python", ANY, tmp_path) == ""


@pytest.mark.parametrize(
    "config",
    [
        'backend: "onnxruntime"',
        'platform: "onnxruntime_onnx"',
        '# backend: "python"\nbackend: "onnxruntime"',
        'backend: "onnxruntime" parameters { key: "backend" value: { string_value: "python" } }',
        'backend: "onnxruntime" runtime: "libtriton_onnxruntime.so"',
        'backend: "openvino"',
        'default_model_filename: "model.onnx"',
        'platform: "ensemble" ensemble_scheduling { step { model_name: "python" } }',
    ],
)
def test_triton_backend_of_the_framework_is_accepted(tmp_path: Path, config: str) -> None:
    put(tmp_path, "1/model.onnx", "1/helper.py", config=config)
    assert backend_error("onnx", ANY, tmp_path) == ""


@pytest.mark.parametrize(
    ("files", "error"),
    [
        (["1/model.onnx"], ""),
        (["1/model.onnx", "1/model.py"], ""),
        (["1/model.py"], "1/model.py needs the backend python"),
        (["1/model.onnx", "2/model.py"], "2/model.py needs the backend python"),
        (["!/model.py", "1/model.onnx"], "!/model.py needs the backend python"),
        (["1/model.pt"], "1/model.pt needs the backend pytorch"),
        (["1/libtriton_onnxruntime.so", "1/model.onnx"], "the library 1/libtriton_onnxruntime.so needs the backend py"),
        (["libtriton_x.so", "1/model.onnx"], "the library libtriton_x.so needs the backend python"),
    ],
)
def test_triton_backend_of_files_without_configuration_is_judged(tmp_path: Path, files: list[str], error: str) -> None:
    found = backend_error("onnx", ANY, put(tmp_path, *files))
    assert found.startswith(error) if error else found == ""


def test_triton_library_of_the_model_is_its_own_code_beside_a_configuration(tmp_path: Path) -> None:
    put(tmp_path, "1/model.onnx", "libtriton_onnxruntime.so", config='backend: "onnxruntime"')
    assert backend_error("onnx", ANY, tmp_path).startswith("the library libtriton_onnxruntime.so")


def test_triton_configurations_of_other_names_are_judged(tmp_path: Path) -> None:
    put(tmp_path, "1/model.onnx", config='backend: "onnxruntime"', gpu='backend: "python"')
    assert backend_error("onnx", ANY, tmp_path).startswith("configs/gpu.pbtxt needs the backend python")


@pytest.mark.parametrize("config", ["backend", b"backend: \x00", "[x.y/Any] { }"])
def test_triton_configuration_that_cannot_be_read_is_refused(tmp_path: Path, config: str | bytes) -> None:
    put(tmp_path, "1/model.onnx", config=config)
    with pytest.raises(RefusedFilesError, match=r"^config\.pbtxt cannot be read: "):
        backend_error("onnx", ANY, tmp_path)


@pytest.mark.parametrize("framework", ["onnx", "pytorch", "tensorflow", "caffe2"])
def test_triton_framework_has_the_backends_of_its_exports(tmp_path: Path, framework: str) -> None:
    put(tmp_path, "1/model.onnx", config='backend: "onnxruntime"')
    assert backend_error(framework, ANY, tmp_path) == ""
    put(tmp_path, config='backend: "python"')
    assert backend_error(framework, ANY, tmp_path)


def test_triton_configurations_are_bounded_together(tmp_path: Path) -> None:
    half = f"#{' ' * (MAX_BYTES // 2)}"
    put(tmp_path, "1/model.onnx", config=half)
    assert backend_error("onnx", ANY, tmp_path) == ""
    put(tmp_path, gpu=half)
    with pytest.raises(RefusedFilesError, match=rf"more than {MAX_BYTES} bytes in config\.pbtxt and configs"):
        backend_error("onnx", ANY, tmp_path)


def test_triton_configuration_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").mkdir()
    with pytest.raises(RefusedFilesError, match=r"^config\.pbtxt cannot be read: Is a directory$"):
        backend_error("onnx", ANY, tmp_path)


def test_triton_framework_without_a_table_has_the_backend_of_its_name(tmp_path: Path) -> None:
    put(tmp_path, "1/model.x", config='backend: "fil"')
    assert backend_error("fil", ANY, tmp_path) == ""
    assert backend_error("dali", ANY, tmp_path).endswith("needs the backend fil, and the framework dali has: dali")


def test_server_other_than_triton_checks_no_backend(tmp_path: Path) -> None:
    put(tmp_path, "1/model.py", config='backend: "python"')
    assert V2Server("http://x").content_error("a", "onnx", tmp_path) == ""
    assert V2Server("http://x", backends=ANY).content_error("a", "onnx", tmp_path)
