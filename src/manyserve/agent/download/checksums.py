"""ETags as checksums: most stores give the MD5 of a file that was uploaded in one piece, and some only seem to.

With encryption by a key of one's own the ETag has the looks of an MD5 and is none. So a file that does not
match is read once more: if the same bytes come again, the line is not to blame, and the bucket is remembered
as one whose ETags prove nothing.
"""

from __future__ import annotations

import logging
import re

from manyserve.agent.download.base import Progress, RemoteFile

log = logging.getLogger("manyserve.agent")

_MD5 = re.compile(r"[0-9a-f]{32}")


def version(e_tag: str | None) -> str:
    """Return an ETag without what listings leave out and answers have: quotes and the mark of a weak one."""
    return (e_tag or "").removeprefix("W/").strip('"')


def e_tag(file: RemoteFile) -> str:
    """Return the ETag of a listed file; empty when the store gave none."""
    return file.version.partition(" ")[0]


class Proofs:
    """Which buckets' ETags are worth something."""

    def __init__(self) -> None:
        self._worthless: set[str] = set()

    def md5(self, bucket: str, file: RemoteFile) -> str | None:
        """Return the MD5 that a file must have, in hex digits; None when its ETag does not tell."""
        found = e_tag(file).lower()
        return found if _MD5.fullmatch(found) and bucket not in self._worthless else None

    def are_none(self, bucket: str) -> None:
        """Remember that a bucket's ETags are no checksums."""
        if bucket not in self._worthless:
            self._worthless.add(bucket)
            log.warning("the ETags of %s are no checksums: its files are checked by their sizes alone", bucket)


class ReadAgain:
    """Counts a second reading of a file: it comes over the network, and takes no more room."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def arrived(self, count: int) -> None:
        """Tell on."""
        self._progress.arrived(count)

    def stored(self, count: int) -> None:
        """Tell nobody."""
