"""Rules about a model's content: a new model that breaks one is refused, one that was placed before is served."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.agent.content import Content, size_error, warning
from manyserve.agent.servers import RefusedFilesError
from manyserve.agent.worker import classify
from manyserve.api.modelconfig import CONTENT_RULES, Entry
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

SIZE = len("weights") + 993
"""Bytes of the model that `put` makes."""


def put(pod: Pod, name: str) -> None:
    pod.bucket.put(name, "x" * 993)


def new(name: str, memory: Any = "1Mi", **more: str) -> Entry:
    """Return the entry of a model that is placed under the rules."""
    given = entry(name, memory=memory, **more)
    return given.model_copy(update={"model_spec": given.model_spec.model_copy(update={"content_rules": CONTENT_RULES})})


@pytest.mark.parametrize(
    ("memory", "fits"),
    [
        (SIZE, True),
        (str(SIZE), True),
        ("1k", True),
        (SIZE - 1, False),
        (1, False),
        ("999", False),
        ("unreadable", True),
    ],
)
def test_files_larger_than_the_declared_memory_are_named(memory: Any, fits: bool) -> None:
    assert (size_error(entry("a", memory=memory), SIZE) == "") is fits


async def test_new_model_with_files_larger_than_its_memory_is_refused_with_the_figures(pod: Pod) -> None:
    for name in ("large", "fits"):
        put(pod, name)
    pod.config.write(new("large", SIZE - 1), new("fits", SIZE))
    await pod.start()
    await pod.shows(large="DownloadFailed", fits="Loaded")
    assert pod.model("large").message == (
        "its files have 1000 (1000 bytes), more than the declared memory of 999 (spec.model.memory)"
    )
    assert pod.model("large").permanent
    assert not [key for key in pod.bucket.gets if "large" in key], "nothing is downloaded"
    pod.config.write(new("large", SIZE), new("fits", SIZE))
    await pod.shows(large="Loaded", fits="Loaded")


async def test_refused_archive_is_not_downloaded_again_until_its_memory_changes(pod: Pod) -> None:
    pod.bucket.objects["models/one/content"] = b"x" * SIZE
    pod.config.write(new("one", 1))
    await pod.start()
    await eventually(
        lambda: pod.states() == {"one": "DownloadFailed"} and pod.context.state.retries["one"].failures > 2
    )
    assert len(pod.bucket.gets) == 1
    assert not list((pod.root / "staging").iterdir())
    pod.config.write(new("one", SIZE))
    await pod.shows(one="Loaded")


async def test_refused_version_leaves_the_previous_one(pod: Pod) -> None:
    await pod.running("a")
    put(pod, "a2")
    pod.config.write(new("a", 10, uri="gs://bucket/models/a2"))
    await pod.shows(a="DownloadFailed")
    assert pod.model("a").serving
    assert pod.triton.served == {"a": "a"}


async def test_model_from_before_the_rules_is_served_with_a_warning(pod: Pod) -> None:
    put(pod, "a")
    pod.config.write(entry("a", memory="1"))
    await pod.start()
    await pod.shows(a="Loaded")
    assert pod.model("a").warning == (
        "its files have 1000 (1000 bytes), more than the declared memory of 1 (spec.model.memory); "
        "it is served, and a new model is refused"
    )


async def test_restarted_agent_warns_about_files_on_the_volume(pod: Pod) -> None:
    put(pod, "a")
    pod.config.write(entry("a", memory="1"))
    await pod.start()
    await pod.shows(a="Loaded")
    warning = pod.model("a").warning
    await pod.stop()
    await pod.start()
    await eventually(lambda: (model := pod.report.models.get("a")) and model.warning == warning)
    assert len(pod.bucket.gets) == 2


async def test_loaded_model_with_a_lower_memory_stays_loaded_with_a_warning(pod: Pod) -> None:
    put(pod, "a")
    pod.config.write(new("a", SIZE))
    await pod.start()
    await pod.shows(a="Loaded")
    assert pod.model("a").warning == ""
    pod.config.write(new("a", 1))
    await eventually(lambda: pod.model("a").warning.endswith("; a new pod refuses it"))
    assert pod.states() == {"a": "Loaded"}
    assert pod.triton.loads("a") == 1


async def test_linked_files_are_judged_too(pod: Pod) -> None:
    put(pod, "shared")
    pod.config.write(
        new("a", SIZE, uri="gs://bucket/models/shared"), new("b", SIZE - 1, uri="gs://bucket/models/shared")
    )
    await pod.start()
    await pod.shows(a="Loaded", b="DownloadFailed")


async def test_backend_of_another_framework_is_refused_in_a_new_model(pod: Pod, monkeypatch: Any) -> None:
    for name in ("before", "after"):
        put(pod, name)
        pod.bucket.objects[f"models/{name}/config.pbtxt"] = b'backend: "python"'
    pod.config.write(entry("before"), new("after"))
    await pod.start()
    monkeypatch.setattr(pod.context.server, "_backends", ("*",))
    await pod.shows(before="Loaded", after="DownloadFailed")
    error = "config.pbtxt needs the backend python, and the framework onnx has: onnxruntime, openvino, tensorrt"
    assert pod.model("after").message == error
    assert pod.model("before").warning == f"{error}; it is served, and a new model is refused"


def test_warning_needs_a_broken_rule() -> None:
    assert warning(entry("a", memory="1"), Content()) == ""
    assert warning(new("a"), Content(1, "")) == ""
    assert warning(new("a"), Content(1, "a backend")) == "a backend; a new pod refuses it"


def test_refused_files_have_a_label_in_the_metric() -> None:
    assert classify(RefusedFilesError("x")) == ("content", True)
