"""The commands of a document, as a user copies them into a shell."""

from __future__ import annotations

from pathlib import Path


def script(document: Path, heading: str) -> str:
    """Return the console blocks under a heading, as one script. Raises when there are none."""
    section = document.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = [each.partition("\n```")[0] for each in section.split("```console\n")[1:]]
    if not blocks:
        raise AssertionError(f"{document.name} has no commands under {heading!r}")
    return "\n".join(blocks)


def headings(document: Path) -> list[str]:
    """Return the headings with commands, in order."""
    sections = [each.partition("\n") for each in document.read_text().split("\n## ")[1:]]
    return [heading for heading, _, section in sections if "```console\n" in section]
