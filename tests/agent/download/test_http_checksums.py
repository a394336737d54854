"""Checksums in the headers of web servers."""

import base64
import hashlib
import zlib
from pathlib import Path

import pytest

from manyserve.agent.settings import AgentSettings
from tests.agent.download.fetching import fetch, fetch_error, make_downloader
from tests.agent.download.webserver import Site


def _base64(name: str, data: bytes = b"model") -> str:
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


CRC32C = "rrG8yQ=="  # of b"model", bit by bit from the polynomial 0x82F63B78
CHECKSUMS = {
    "Content-MD5": "{md5}",
    "Digest": "sha-256={sha256}",
    "Repr-Digest": "sha-256=:{sha256}:, md5=:{md5}:",
    "Content-Digest": "sha-512=:{sha512}:",
    "x-goog-hash": "crc32c={crc32c},md5={md5}",
    "X-Goog-Hash": "crc32c={crc32c}",  # a composed object has no other
    "x-amz-checksum-crc32c": "{crc32c}",
    "x-amz-checksum-sha1": "{sha1}",
    "x-amz-checksum-crc32": "{crc32}",
}


@pytest.mark.parametrize("header", CHECKSUMS)
async def test_http_checksum_in_header_is_verified(
    site: Site, config: AgentSettings, tmp_path: Path, header: str
) -> None:
    crc = base64.b64encode(zlib.crc32(b"model").to_bytes(4, "big")).decode()
    right = {name: _base64(name) for name in ("md5", "sha1", "sha256", "sha512")} | {"crc32": crc, "crc32c": CRC32C}
    headers = {header: CHECKSUMS[header].format(**right)}
    site.serve("/x.onnx", b"model", headers)
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": b"model"}
    site.serve("/x.onnx", b"madel", headers)
    words = await fetch_error(make_downloader(config), tmp_path / "b", site.url("/x.onnx"), permanent=False)
    assert "did not arrive as it was sent: its " in words


async def test_http_checksum_of_parts_or_unknown_algorithm_is_ignored(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve(
        "/x", b"model", {"x-amz-checksum-sha256": _base64("sha256") + "-3", "Digest": "md4=AAAA, unixsum=30637, ,="}
    )
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x")) == {"x": b"model"}
