"""Splits text into blocks, and blocks into sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
CODES = re.compile(r"CODE(,\s+(and\s+|or\s+)?CODE)+")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)", re.DOTALL)
TAG = re.compile(r"<(https?:)?/?[a-z][^>\n]*>|<!--.*?-->", re.DOTALL)
END = re.compile(r"[.?!:;][\"')\]*_]*(?=\s|$)")
ITEM = re.compile(r"^\s*([*+-]|\d{1,2}\.)\s+")
OFF, ON = "<!-- english: off -->", "<!-- english: on -->"


@dataclass(frozen=True)
class Block:
    """A piece of text that no sentence leaves: a paragraph, a list item, a table cell, a comment, a message."""

    line: int
    text: str
    cell: bool = False


@dataclass(frozen=True)
class Sentence:
    """A sentence, without its inline code and its links."""

    line: int
    text: str

    @property
    def words(self) -> int:
        """Count the tokens that have a letter or a digit."""
        return sum(any(character.isalnum() for character in token) for token in self.text.split())


def sentences(block: Block) -> Iterator[Sentence]:
    """Split a block at each `.`, `?`, `!`, `:` and `;` before a space."""
    text = _plain(block.text)
    start = 0
    for end in [match.end() for match in END.finditer(text)] + [len(text)]:
        part = text[start:end]
        before = start + len(part) - len(part.lstrip())
        if any(character.isalnum() for character in part):
            yield Sentence(block.line + text[:before].count("\n"), " ".join(part.split()))
        start = end


def _plain(text: str) -> str:
    """Replace inline code, or a list of it, by one word, and links by their text. The number of lines stays."""
    text = CODE.sub(lambda match: "CODE" + "\n" * match[0].count("\n"), text)
    text = CODES.sub(lambda match: "CODE" + "\n" * match[0].count("\n"), text)
    text = LINK.sub(lambda match: match[1] + "\n" * match[0][len(match[1]) :].count("\n"), text)
    text = re.sub(r"<br/?>", ". ", text)
    return TAG.sub(lambda match: "\n" * match[0].count("\n"), text)


def markdown(lines: Iterable[str], first: int = 1) -> Iterator[Block]:
    """Return the blocks of a Markdown text. Fenced and indented code and what stands between OFF and ON is left out."""
    block: list[str] = []
    start, fence, off = first, "", False
    for number, line in enumerate([*lines, ""], first):
        bare = line.strip().removeprefix("> ")
        off = (off or bare == OFF) and bare != ON
        fence, fenced = _fence(fence, bare)
        alone = not bare or fenced or off or bare.startswith(("|", "#", "<!--")) or _is_code(line, block)
        if block and (alone or ITEM.match(line)):
            yield Block(start, "\n".join(block))
            block = []
        if not alone:
            start = start if block else number
            block.append(ITEM.sub("", line, count=1).strip().removeprefix("> "))
        elif not (fenced or off):
            yield from _line_of_its_own(number, bare)


def _fence(fence: str, bare: str) -> tuple[str, bool]:
    """Return the open fence after this line, and whether the line belongs to a fenced block."""
    if fence:
        return ("" if bare.startswith(fence) else fence), True
    mark = re.match(r"```+|~~~+", bare)
    return (mark[0], True) if mark else ("", False)


def _is_code(line: str, block: list[str]) -> bool:
    return not block and line.startswith("    ") and not ITEM.match(line)


def _line_of_its_own(number: int, bare: str) -> Iterator[Block]:
    """Return the cells of a row of a table, or a heading."""
    if bare.startswith("|"):
        for cell in re.split(r"(?<!\\)\|", CODE.sub("CODE", bare).strip("|")):
            yield Block(number, cell.strip(), cell=True)
    elif bare.startswith("#"):
        yield Block(number, bare.lstrip("# "))
