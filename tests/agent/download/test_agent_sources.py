"""The whole agent with models from a claim and from web servers, valid and invalid ones."""

from pathlib import Path

import pytest

from manyserve.agent.settings import AgentSettings
from tests.agent.download.archives import contents, tar_gz, zipped
from tests.agent.download.archives import entry as member
from tests.agent.download.webserver import Site
from tests.agent.support import Pod, entry

pytestmark = pytest.mark.usefixtures("short_waits")


POLL = "failed to load, failed to poll from model repository"


async def test_agent_names_layout_that_triton_needs_of_single_file(pod: Pod) -> None:
    pod.bucket.objects = {"models/one/resnet.onnx": b"m"}
    pod.bucket.put("folder", "fine")
    pod.triton.refusing = {"one": POLL, "folder": POLL}
    pod.config.write(entry("one", "gs://bucket/models/one/resnet.onnx"), entry("folder"))
    await pod.start()
    await pod.shows(one="LoadFailed", folder="LoadFailed")
    assert pod.model("one").message == (
        "the model is the single file resnet.onnx, and Triton needs its repository layout: a folder with the number of "
        "each version, such as 1/model.onnx, and for most frameworks config.pbtxt beside it; "
        f"the server's answer: {POLL}"
    )
    assert pod.model("folder").message == POLL


async def test_agent_loads_models_of_all_sources_and_reports_bad_one(
    pod: Pod, site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    claim = tmp_path / "pvc" / "claim" / "models"
    claim.mkdir(parents=True)
    (claim / "content").write_text("from a claim")
    sources = config.sources.model_copy(
        update={"gcs_endpoint": pod.settings.sources.gcs_endpoint, "pvc_dir": tmp_path / "pvc"}
    )
    pod.settings = pod.settings.model_copy(update={"sources": sources})
    pod.bucket.objects = {"models/m.tar.gz": tar_gz(member("content", b"in a bucket"), member("1/model.onnx", b"m"))}
    site.serve("/m.tar.gz", tar_gz(member("content", b"packed"), member("1/model.onnx", b"m")))
    site.serve("/content", b"plain", {"ETag": '"v1"'})
    site.serve("/bad.zip", zipped(("../up", b"x")))

    def uri(path: str) -> str:
        return site.url(path, host="127.0.0.1")

    pod.config.write(
        entry("archived", "gs://bucket/models/m.tar.gz"),
        entry("bad", uri("/bad.zip")),
        entry("claimed", "pvc://claim/models"),
        entry("packed", uri("/m.tar.gz")),
        entry("plain", uri("/content")),
    )
    await pod.start()
    await pod.shows(archived="Loaded", bad="DownloadFailed", claimed="Loaded", packed="Loaded", plain="Loaded")
    assert pod.triton.served == {
        "archived": "in a bucket",
        "claimed": "from a claim",
        "packed": "packed",
        "plain": "plain",
    }
    assert pod.model("bad").message == f"{uri('/bad.zip')} was not unpacked: '../up' leads out of the folder"
    assert pod.model("bad").permanent
    assert set(contents(pod.root / "models" / "packed")) == {"content", "1/model.onnx"}
    await pod.stop()
    reads = len(site.requests)
    await pod.start()
    await pod.shows(archived="Loaded", bad="DownloadFailed", claimed="Loaded", packed="Loaded", plain="Loaded")
    assert {request.path for request in site.requests[reads:] if request.method == "GET"} <= {"/bad.zip"}
