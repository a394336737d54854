"""A fake Hugging Face hub with the API to list a model, and its files. Large files are on another host."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.agent.download.webserver import Site

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A hub with one model, `org/model`, and one commit. Files of more than `large` bytes are at the site `cdn`."""

    site: Site
    cdn: Site
    files: dict[str, bytes] = field(default_factory=dict)
    large: int = 1000
    gated: bool = False
    token: str = ""
    """The required token; empty for none."""
    redirect_to: str = ""
    """The target of redirects for large files, instead of the site `cdn`."""
    metadata: bool = True

    def install(self) -> None:
        """Install the handlers at both sites."""
        self.site.handlers.update(
            {
                "/api/models/org/model": self.info,
                "/api/models/org/model/revision/v1": self.info,
                "/api/models/org/model/revision/none": self.no_revision,
                "/api/models/org/missing": self.missing,
            }
        )
        for name, content in self.files.items():
            self.site.handlers[f"/org/model/resolve/{COMMIT}/{name}"] = self.resolve
            self.cdn.serve(f"/blobs/{name}", content, {"ETag": '"cdn"'})

    async def info(self, request: web.Request) -> web.StreamResponse:
        """Return the listing."""
        if request.query.get("blobs") != "True" and request.query.get("blobs") != "true":
            return web.Response(status=400)
        siblings = [{"rfilename": name, **self._metadata(data)} for name, data in self.files.items()]
        return web.json_response({"id": "org/model", "modelId": "org/model", "sha": COMMIT, "siblings": siblings})

    def _metadata(self, data: bytes) -> Mapping[str, Any]:
        if not self.metadata:
            return {}
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        lfs = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 100}
        return {"size": len(data), "blobId": git} | ({"lfs": lfs} if len(data) > self.large else {})

    async def no_revision(self, _: web.Request) -> web.StreamResponse:
        """Return the error of a missing revision."""
        return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})

    async def missing(self, _: web.Request) -> web.StreamResponse:
        """Return the error of a repository without access."""
        return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"})

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        """Return a small file, or a redirect to a large one."""
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo"})
        name = request.path.split(COMMIT + "/")[1]
        data = self.files[name]
        headers = {"X-Repo-Commit": COMMIT}
        if len(data) <= self.large:
            return web.Response(body=data, headers=headers)
        headers |= {
            "X-Linked-Size": str(len(data)),
            "Location": self.redirect_to or self.cdn.url(f"/blobs/{name}", "cdn.test"),
        }
        return web.Response(status=302, headers=headers)
