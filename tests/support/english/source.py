"""Finds the English in files: documents, Python, and the comments of YAML."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.english.messages import messages
from tests.support.english.text import Block, markdown

DOC, DOCSTRING, COMMENT, MESSAGE, NAME = "docs", "docstrings", "comments", "messages", "names"
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DIRECTIVE = re.compile(r"#\s*(noqa|type:|ruff:|mypy:|pragma|!|SPDX)|#!")
TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
CHART_COMMENT = re.compile(r"\{\{-?\s*/\*(.*?)\*/\s*-?\}\}", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A block, its kind, and the file in which it stands."""

    kind: str
    path: Path
    block: Block


def pieces(path: Path) -> Iterator[Piece]:
    """Return every piece of English of a file."""
    text = path.read_text()
    if path.suffix == ".py":
        yield from (Piece(kind, path, block) for kind, block in _python(path, text))
    elif path.suffix in {".yaml", ".tpl"}:
        yield from (Piece(COMMENT, path, block) for block in _yaml(text))
    else:
        yield from (Piece(DOC, path, block) for block in markdown(_rendered(text).split("\n")))


def _rendered(text: str) -> str:
    return TEMPLATE.sub(lambda match: "X" if "." in match[0] else "", text)


def _python(path: Path, text: str) -> Iterator[tuple[str, Block]]:
    tree = ast.parse(text)
    yield from ((DOCSTRING, block) for block in _docstrings(tree))
    yield from ((COMMENT, block) for block in _comments(text))
    yield from ((MESSAGE, block) for block in messages(tree))
    yield NAME, Block(1, path.stem)
    yield from ((NAME, block) for block in _names(tree))


def _docstrings(tree: ast.Module) -> Iterator[Block]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            first, *rest = node.value.value.split("\n")
            margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
            yield from markdown([first.strip(), *(line[margin:] for line in rest)], node.lineno)


def _comments(text: str) -> Iterator[Block]:
    """Return the comments; those on lines of their own that follow each other are one."""
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or DIRECTIVE.match(token.string):
            continue
        line, alone = token.start[0], token.line.strip().startswith("#")
        if block and not (alone and line == last + 1):
            yield from markdown(block, start)
            block = []
        start = start if block else line
        block.append(token.string.lstrip("#").strip())
        last = line if alone else 0
    yield from markdown(block, start)


def _names(tree: ast.Module) -> Iterator[Block]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield Block(node.lineno, name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield Block(node.lineno, name)


def _yaml(text: str) -> Iterator[Block]:
    for match in CHART_COMMENT.finditer(text):
        yield from markdown(match[1].split("\n"), text[: match.start(1)].count("\n") + 1)
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        comment = re.match(r"\s*#(.*)|.*?\s#\s(.*)", line)
        if comment and comment[1] is not None and not line.strip().startswith("#!"):
            block.append(comment[1].strip().removeprefix("-- "))
            continue
        yield from markdown(block, number - len(block))
        block = []
        if comment and comment[2]:
            yield Block(number, comment[2])
