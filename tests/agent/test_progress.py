"""How far a download is: told at first, then now and then, and nobody is told more often."""

import pytest

from manyserve.agent.progress import UpdateThrottle
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


def test_a_count_is_told_at_first_and_then_at_most_once_in_the_time() -> None:
    pace = UpdateThrottle(5)
    assert [now for now in range(0, 20, 2) if pace.is_due(now)] == [0, 6, 12, 18]


async def slow_download(pod: Pod, every: float) -> None:
    pod.settings = pod.settings.model_copy(update={"progress_seconds": every, "index_poll_seconds": 0.05})
    pod.bucket.objects["models/a/content"] = b"x" * 30
    pod.bucket.fault = "drip"
    pod.config.write(entry("a"))
    await pod.start()


async def test_the_report_of_a_download_has_its_bytes_and_loses_them_at_its_end(pod: Pod) -> None:
    await slow_download(pod, 0.01)
    await pod.shows(a="Downloading")
    await eventually(lambda: pod.model("a").bytes_total == 30, limit=30)
    assert pod.model("a").bytes is not None
    await eventually(lambda: pod.states() == {"a": "Loaded"}, limit=20)
    assert (pod.model("a").bytes, pod.model("a").bytes_total) == (None, None)


async def test_progress_alone_makes_no_storm_of_revisions(pod: Pod) -> None:
    await slow_download(pod, 60)
    await eventually(lambda: pod.model("a").bytes == 0 if "a" in pod.states() else False, limit=30)
    revision, lists = pod.agent.board.report.revision, pod.shop.metrics.bytes._value.get()
    await eventually(lambda: pod.shop.metrics.bytes._value.get() > lists, limit=30)
    assert pod.agent.board.report.revision == revision
    assert pod.model("a").bytes == 0
