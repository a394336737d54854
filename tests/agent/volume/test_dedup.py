"""Deduplication: models of one source have one download, and hard links for the others."""

import os
from pathlib import Path

import pytest

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

URI = "gs://bucket/models/shared"
TEN = [f"m{number}" for number in range(10)]


async def loaded(pod: Pod, *names: str) -> None:
    pod.config.write(*(entry(name, URI) for name in names))
    await eventually(lambda: pod.states() == dict.fromkeys(names, "Loaded"))


def file(pod: Pod, name: str) -> Path:
    return pod.root / "models" / name / "content"


async def test_dedup_downloads_ten_models_of_one_uri_once(pod: Pod) -> None:
    pod.bucket.put("shared", "weights")
    await pod.start()
    await loaded(pod, *TEN)
    assert sorted(pod.bucket.gets) == ["models/shared/1/model.bin", "models/shared/content"]
    assert len({file(pod, name).stat().st_ino for name in TEN}) == 1, "the volume has one copy"
    assert pod.triton.served == dict.fromkeys(TEN, "weights")


async def test_dedup_keeps_empty_folders(pod: Pod) -> None:
    pod.bucket.put("shared", "weights")
    pod.bucket.objects["models/shared/2/"] = b""
    await pod.start()
    await loaded(pod, "m0", "m1")
    assert len(pod.bucket.gets) == 3, "the second model is linked"
    assert all((pod.root / "models" / name / "2").is_dir() for name in ("m0", "m1"))


async def test_dedup_links_later_model_after_restart(pod: Pod) -> None:
    pod.bucket.put("shared", "weights")
    await pod.start()
    await loaded(pod, "m0")
    await pod.stop()
    await pod.start()
    await loaded(pod, "m0", "m1")
    assert len(pod.bucket.gets) == 2


async def test_dedup_deletion_leaves_other_models_complete(pod: Pod) -> None:
    pod.bucket.put("shared", "weights")
    await pod.start()
    await loaded(pod, *TEN)
    await loaded(pod, *TEN[1:])
    await eventually(lambda: not file(pod, "m0").exists())
    assert all(file(pod, name).read_text() == "weights" for name in TEN[1:])
    await pod.stop()
    pod.triton.forget()
    await pod.start()
    await eventually(lambda: pod.triton.served == dict.fromkeys(TEN[1:], "weights"))
    assert len(pod.bucket.gets) == 2


async def test_dedup_does_not_link_files_of_changed_source(pod: Pod) -> None:
    pod.bucket.put("shared", "old")
    await pod.start()
    await loaded(pod, "m0")
    pod.bucket.put("shared", "new")
    await loaded(pod, "m0", "m1")
    assert pod.triton.served == {"m0": "old", "m1": "new"}


async def test_dedup_copies_without_hard_links(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    pod.bucket.put("shared", "weights")
    await pod.start()
    await loaded(pod, *TEN)
    assert len(pod.bucket.gets) == 2
    assert len({file(pod, name).stat().st_ino for name in TEN}) == 10


async def test_dedup_retries_download_with_next_model(pod: Pod) -> None:
    await pod.start()
    pod.config.write(*(entry(name, URI) for name in TEN))
    await eventually(lambda: pod.states() == dict.fromkeys(TEN, "DownloadFailed"))
    pod.bucket.put("shared", "weights")
    await eventually(lambda: pod.states() == dict.fromkeys(TEN, "Loaded"))
    assert len([key for key in pod.bucket.gets if key.startswith("models/shared/")]) == 2


async def test_dedup_wait_is_reported(pod: Pod) -> None:
    pod.bucket.put("shared", "weights")
    pod.bucket.fault = "hang get"
    await pod.start()
    pod.config.write(entry("m0", URI), entry("m1", URI))
    await eventually(lambda: "Downloading" in pod.states().values())
    messages = {model.message for model in pod.report.models.values()}
    assert messages == {"", "waits for another model that is read from the same place"}
