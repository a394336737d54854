"""One download by a peer, in an environment of its own: `peer_reading URI ENDPOINT FOLDER [plain]`.

The peers are used as their manuals say for speed: boto3 with its transfer manager, and as many files at once as
the agent reads; google-cloud-storage with its transfer manager in as many threads, a single file in ranges of
the agent's size. With the word `plain` at the end a single file is read by google-cloud-storage as KServe does:
by `download_to_filename`, in one stream. Prints the seconds and the most memory that the process had, as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

AT_ONCE = 4
RANGE = 64 * 1024**2


def s3(bucket: str, prefix: str, endpoint: str, folder: Path) -> None:
    """Read with boto3; the keys are in the environment."""
    import boto3  # noqa: PLC0415 (of the other environment)

    client = boto3.client("s3", endpoint_url=endpoint)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [each["Key"] for page in pages for each in page["Contents"]]

    def one(key: str) -> None:
        client.download_file(bucket, key, str(folder / key.rpartition("/")[2]))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, keys))


def gs(bucket: str, prefix: str, endpoint: str, folder: Path) -> None:
    """Read with google-cloud-storage."""
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 (of the other environment)
    from google.cloud import storage  # noqa: PLC0415
    from google.cloud.storage import transfer_manager  # noqa: PLC0415

    options = {"api_endpoint": endpoint}
    client = storage.Client(project="any", credentials=AnonymousCredentials(), client_options=options)
    blobs = list(client.list_blobs(bucket, prefix=f"{prefix}/"))
    threads = {"worker_type": transfer_manager.THREAD, "max_workers": AT_ONCE}
    if len(blobs) == 1:
        target = str(folder / blobs[0].name.rpartition("/")[2])
        if "plain" in sys.argv:
            blobs[0].download_to_filename(target)
            return
        transfer_manager.download_chunks_concurrently(blobs[0], target, chunk_size=RANGE, **threads)
        return
    pairs = [(blob, str(folder / blob.name.rpartition("/")[2])) for blob in blobs]
    transfer_manager.download_many(pairs, raise_exception=True, **threads)


def peak() -> int:
    """Return the most bytes that this process had; `getrusage` would count its parent, too."""
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(match[1]) * 1024 if match else 0


if __name__ == "__main__":
    parts, began = urlsplit(sys.argv[1]), time.monotonic()
    read = {"s3": s3, "gs": gs}[parts.scheme]
    read(parts.netloc, parts.path.strip("/"), sys.argv[2], Path(sys.argv[3]))
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "bytes": peak()}))
