"""Input 30: messages of other programs are repeated short, on one line, and without secrets."""

import pytest

from manyserve.redaction import LIMIT
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

SIGNED = "https://user:password@store.example/models/a?X-Amz-Signature=secret#part"


async def refused(pod: Pod, message: str) -> str:
    """Let the server reject a model with this message; return the message of the report."""
    pod.bucket.put("a")
    pod.triton.refusing["a"] = message
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="LoadFailed")
    return pod.model("a").message


async def test_input_30_message_of_ten_megabytes_is_cut(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    message = await refused(pod, "Traceback:\n" + "  at somewhere\n" * 700_000)
    assert len(message) == LIMIT
    assert "Traceback" in message
    assert message.endswith("…")
    assert max(map(len, caplog.messages)) < 2 * LIMIT


async def test_input_30_signed_url_loses_its_signature(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    message = await refused(pod, f"cannot read {SIGNED} here")
    assert message == "cannot read https://store.example/models/a here"
    await eventually(lambda: "Failed to load model a" in caplog.text)
    assert "secret" not in caplog.text
    assert "password" not in caplog.text


async def test_input_30_message_of_many_lines_is_one_printable_line(pod: Pod) -> None:
    assert await refused(pod, "no\r\n\tmemory\x00\x1b[31m left") == "no memory??[31m left"


async def test_input_30_reason_in_index_is_one_line(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await pod.running("a")
    pod.triton.states["a"] = ("UNAVAILABLE", SIGNED + "\n" * 1000)
    await eventually(lambda: pod.context.state.index["a"].reason == "https://store.example/models/a")
