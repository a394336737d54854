"""Progress of a download: throttled updates of the report."""

import pytest

from manyserve.agent.job import UpdateThrottle
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


def test_update_throttle_limits_updates_to_one_for_each_interval() -> None:
    throttle = UpdateThrottle(5)
    assert [now for now in range(0, 20, 2) if throttle.is_due(now)] == [0, 6, 12, 18]


async def slow_download(pod: Pod, every: float) -> None:
    pod.settings = pod.settings.model_copy(update={"progress_seconds": every, "index_poll_seconds": 0.05})
    pod.bucket.objects["models/a/content"] = b"x" * 30
    pod.bucket.fault = "drip"
    pod.config.write(entry("a"))
    await pod.start()


async def test_report_has_bytes_only_during_download(pod: Pod) -> None:
    await slow_download(pod, 0.01)
    await pod.shows(a="Downloading")
    await eventually(lambda: pod.model("a").bytes_total == 30)
    assert pod.model("a").bytes is not None
    await eventually(lambda: pod.states() == {"a": "Loaded"})
    assert (pod.model("a").bytes, pod.model("a").bytes_total) == (None, None)


async def test_progress_updates_are_throttled(pod: Pod) -> None:
    await slow_download(pod, 60)
    await eventually(lambda: pod.model("a").bytes == 0 if "a" in pod.states() else False)
    revision, count = pod.report.revision, pod.context.metrics.bytes._value.get()
    await eventually(lambda: pod.context.metrics.bytes._value.get() > count)
    assert pod.report.revision == revision
    assert pod.model("a").bytes == 0
