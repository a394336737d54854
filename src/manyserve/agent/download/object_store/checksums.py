"""ETags as MD5 checksums. Most stores use the MD5 of a file that was uploaded in one piece.

In some buckets an ETag only looks like an MD5, for example when a customer's key encrypts the files.
So a file that does not match is read a second time. If the same bytes arrive, the network is not the cause,
and the ETags of this bucket are not used any more.
"""

from __future__ import annotations

import logging
import re

from manyserve.agent.download.base import Progress, RemoteFile

log = logging.getLogger("manyserve.agent")

_MD5 = re.compile(r"[0-9a-f]{32}")


def normalized_etag(etag: str | None) -> str:
    """Return an ETag without quotes and the prefix of a weak one. Responses have both, listings neither."""
    return (etag or "").removeprefix("W/").strip('"')


def listed_etag(file: RemoteFile) -> str:
    """Return the ETag of a listed file; empty when the store has none."""
    return file.version.partition(" ")[0]


class ETagChecksums:
    """The expected checksums of files, and the buckets with ETags that are none."""

    def __init__(self) -> None:
        self._distrusted: set[str] = set()

    def md5(self, bucket: str, file: RemoteFile) -> str | None:
        """Return the expected MD5 of a file in hex digits; None when its ETag is no MD5."""
        etag = listed_etag(file).lower()
        return etag if _MD5.fullmatch(etag) and bucket not in self._distrusted else None

    def distrust(self, bucket: str) -> None:
        """Stop using the ETags of a bucket."""
        if bucket not in self._distrusted:
            self._distrusted.add(bucket)
            log.warning("the ETags of %s are no checksums: its files are checked by their sizes alone", bucket)


class RereadProgress:
    """The progress of a second read. Its bytes come over the network, but take no further space."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def arrived(self, count: int) -> None:
        """Forward the bytes."""
        self._progress.arrived(count)

    def stored(self, count: int) -> None:
        """Ignore the bytes."""
