"""The rules: how long a sentence may be, and which words are private to this project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.english.source import NAME, Piece
from tests.support.english.text import sentences

LONGEST = 34  # words

REJECTED = (
    r"told",
    r"tell(s|ing)?(?! apart)",
    r"crowd(s|ed)?",
    r"lulls?",
    r"hast(e|y|en|ens|ened)",
    r"manners",
    r"lanes?",
    r"strangers?",
    r"surroundings?",
    r"mend(s|ed|ing)?",
    r"whose",
    r"that which",
    r"pictures?",
    r"(a|an|the|each|every|another|one|first|last|next) look",
    r"rooms?",
    r"for ever",
    r"without a word",
    r"walls?(?![- ]clock)",
    r"worn",
    r"g(ive|ives|ave|iving) way",
    r"(is|are|was|were) at it",
)
WORDS = re.compile(rf"\b({'|'.join(REJECTED)})\b", re.IGNORECASE)
SUBJECT = re.compile(r"[\"'(*_]*(who|whoever|what|whatever)\b(?!.*\?)", re.IGNORECASE)
TEST_SUBJECT = re.compile(r"test (who|whoever|what|whatever)\b")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Hit:
    """A sentence, or a name, that breaks a rule."""

    piece: Piece
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.piece.path}:{self.line}: {self.piece.kind}: {self.rule}: {self.text}"


def hits(piece: Piece) -> Iterator[Hit]:
    """Return each breach of a rule in a piece."""
    if piece.kind == NAME:
        yield from (Hit(piece, piece.block.line, rule, piece.block.text) for rule in _in_name(piece.block.text))
        return
    for sentence in sentences(piece.block):
        for rule in _in_sentence(sentence.text, sentence.words):
            yield Hit(piece, sentence.line, rule, sentence.text)


def _in_sentence(text: str, words: int) -> Iterator[str]:
    if words > LONGEST:
        yield f"{words} words, and {LONGEST} are the most"
    yield from (f"the word {match[0]!r}" for match in WORDS.finditer(text))
    if subject := SUBJECT.match(text):
        yield f"{subject[1]!r} as the subject"


def _in_name(name: str) -> Iterator[str]:
    words = CAMEL.sub(" ", name).replace("_", " ").strip().lower()
    yield from (f"the word {match[0]!r}" for match in WORDS.finditer(words))
    if subject := TEST_SUBJECT.match(words):
        yield f"{subject[1]!r} as the subject"
