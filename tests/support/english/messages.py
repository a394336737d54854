"""Finds the messages of a program: its string literals that are sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.english.text import Block

WORD = re.compile(r"[\"'(]*[A-Za-z][A-Za-z'-]*[\"'),.;:?!]*")
NO_ENGLISH = re.compile(r"&&|\|\||==|=>|\\[dws]|\(\?|https?://\S+$")
VALUE = "X"


def messages(tree: ast.Module) -> Iterator[Block]:
    """Return every literal of more than three words, of which at least half are plain words."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for line, text in _literals(tree, docstrings):
        words = text.split()
        if len(words) > 3 and not NO_ENGLISH.search(text) and sum(map(_is_word, words)) * 2 >= len(words):
            yield Block(line, text)


def _is_word(token: str) -> bool:
    return WORD.fullmatch(token) is not None


def _literals(node: ast.AST, docstrings: set[int]) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Constant(value=str(text)) if id(node) not in docstrings:
            yield node.lineno, text
        case ast.JoinedStr(values=values):
            yield node.lineno, "".join(str(each.value) if isinstance(each, ast.Constant) else VALUE for each in values)
            for each in values:
                if isinstance(each, ast.FormattedValue):
                    yield from _literals(each.value, docstrings)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _literals(child, docstrings)
