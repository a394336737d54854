"""Versions of releases: a subset of SemVer that names a chart, an image's tag and a Python package alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9]\d*)"
_FORM = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-(?P<stage>alpha|beta|rc)\.(?P<round>{_NUMBER}))?")
_IMAGE = re.compile(r"(?P<name>[a-z0-9][\w.:/-]*?)(?:@(?P<digest>sha256:[0-9a-f]{64}))?")
_TAG = re.compile(r":[^/]*$")
_STAGES = {"alpha": "a", "beta": "b", "rc": "rc"}


class Refused(Exception):
    """The release cannot be made as it was asked for; the text is a sentence."""


@dataclass(frozen=True)
class Version:
    """One version, in the form of SemVer."""

    text: str
    stage: str | None
    round: str | None

    @property
    def python(self) -> str:
        """The same version in the form of Python packages."""
        base = self.text.partition("-")[0]
        return f"{base}{_STAGES[self.stage]}{self.round}" if self.stage else base


def parse_version(text: str) -> Version:
    """Return a version. Raises `Refused`."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise Refused(
            f"VERSION={text!r} is no version: it has three numbers, such as 1.2.0, and may end in -alpha.N, -beta.N "
            "or -rc.N, such as 1.2.0-rc.1"
        )
    return Version(text, found["stage"], found["round"])


@dataclass(frozen=True)
class Image:
    """Name of the release's image, and its digest if it is known."""

    name: str = "manyserve/manyserve"
    digest: str = ""


def parse_image(text: str) -> Image:
    """Return the image of a text without a tag; the default for an empty one. Raises `Refused`."""
    if not text:
        return Image()
    found = _IMAGE.fullmatch(text)
    if found is None or _TAG.search(found["name"]):
        raise Refused(
            f"IMAGE={text!r} is no image without a tag: it has a registry and a name, and may end in a digest, such as "
            "registry.example.com/manyserve@sha256:..."
        )
    return Image(found["name"], found["digest"] or "")
