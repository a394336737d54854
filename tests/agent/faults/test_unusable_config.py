"""Input 15: after an invalid models.json the agent keeps the last good one, and reports the error."""

import gzip
import json
from collections.abc import Callable

import pytest

from manyserve.api.modelconfig import MAX_BYTES, dump
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually
from tests.support.poison import REFUSED

pytestmark = DROPPED_STREAMS

GOOD = dump([entry("a")])
SPEC = {"storageUri": "gs://bucket/models/a", "framework": "onnx", "memory": "1Mi"}


def named(name: str) -> str:
    return json.dumps([{"modelName": name, "modelSpec": SPEC}])


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "it is empty"),
    "null": ("null", "not a JSON list"),
    "an object": ("{}", "not a JSON list"),
    "cut short": (GOOD[: len(GOOD) // 2], "the element at character 3 is not JSON"),
    "UTF-16": (GOOD.encode("utf-16"), "can't decode byte 0xff"),
    "a mark of byte order": (b"\xef\xbb\xbf" + GOOD.encode(), "not a JSON list"),
    "5 MB that are no list": (" " * 5_000_000 + "7", "not a JSON list"),
    "ten thousand deep": ("[" * 10_000, "nested too deeply"),
    "a name twice": (json.dumps(json.loads(GOOD) * 2), "names a model twice: a"),
    "no spec": ('[{"modelName": "a"}]', "Field required"),
    "a name that leads out": (named(".."), "should match pattern"),
    "a name with a slash": (named("a/b"), "should match pattern"),
    "an empty name": (named(""), "should match pattern"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD.keys())
async def test_input_15_invalid_config_unloads_nothing_and_is_reported(
    pod: Pod, text: str | bytes, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    await pod.running("a")
    before = pod.report.config
    pod.config.write_text(text)
    await eventually(lambda: pod.report.config_error)
    report = pod.report
    assert report.config_error.startswith(f"{pod.config.path} cannot be used: ")
    assert sentence in report.config_error
    assert report.config_error.isprintable()
    assert f"the config in force is kept: {report.config_error}" in caplog.text
    assert pod.context.metrics.registry.get_sample_value("manyserve_agent_config_error") == 1
    assert (pod.states(), report.config, pod.triton.calls) == ({"a": "Loaded"}, before, ["load a"])
    pod.config.write()
    await eventually(lambda: not pod.report.config_error and not pod.triton.served)


@pytest.mark.parametrize("is_packed", [False, True], ids=["as text", "packed"])
@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
async def test_input_15_poisoned_config_unloads_nothing(pod: Pod, make: Callable[[], str], is_packed: bool) -> None:
    await pod.running("a")
    before, text = pod.report.config, make()
    if is_packed:
        pod.config.path.unlink()
        pod.config.write_text(gzip.compress(text.encode(), 1), name="models.json.gz")
    else:
        pod.config.write_text(text)
    await eventually(lambda: "cannot be used: " in pod.report.config_error)
    assert (pod.states(), pod.report.config, pod.triton.calls) == ({"a": "Loaded"}, before, ["load a"])
    pod.config.write(entry("a"))
    await eventually(lambda: not pod.report.config_error)
    assert pod.triton.calls == ["load a"], "the valid list is in force again, and no model was loaded again"


async def test_input_15_too_large_config_is_not_read(pod: Pod) -> None:
    await pod.running("a")
    pod.config.write_text(b" " * (MAX_BYTES + 1))
    await eventually(lambda: pod.report.config_error)
    assert f"more than {MAX_BYTES} bytes" in pod.report.config_error
    assert pod.triton.served == {"a": "a"}


async def test_input_15_unknown_field_is_ignored(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.config.write_text(json.dumps([{"modelName": "a", "modelSpec": SPEC, "later": 1}]))
    await pod.start()
    await pod.shows(a="Loaded")
    assert not pod.report.config_error


async def test_input_15_large_valid_config_is_accepted(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.config.write_text(GOOD.rstrip() + " " * 5_000_000)
    await pod.start()
    await pod.shows(a="Loaded")
