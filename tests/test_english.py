"""Documents, docstrings, comments, messages and names keep the rules of English in CONTRIBUTING.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.english.files import ROOT, pieces_of
from tests.support.english.rules import LONGEST, Hit, hits
from tests.support.english.source import DOC, NAME, Piece, pieces
from tests.support.english.text import Block, markdown, sentences

NOT_YET: tuple[str, ...] = ()  # files and folders that are not clean yet
EXCEPTIONS: dict[tuple[str, str], str] = {  # (file, part of the sentence or name): reason; at most ten
}


def _found(kind: str, text: str) -> list[str]:
    return [hit.rule for hit in hits(Piece(kind, Path("page.md"), Block(1, text)))]


def _is_excepted(hit: Hit) -> bool:
    return any(hit.piece.path.as_posix() == path and part in hit.text for path, part in EXCEPTIONS)


def test_english_has_no_long_sentence_and_no_rejected_word() -> None:
    checked = [piece for piece in pieces_of() if not any(piece.path.is_relative_to(folder) for folder in NOT_YET)]
    assert [str(hit) for piece in checked for hit in hits(piece) if not _is_excepted(hit)] == []


def test_exceptions_are_few_and_needed() -> None:
    assert len(EXCEPTIONS) <= 10
    hits_of_exceptions = [(hit.piece.path.as_posix(), hit.text) for path, _ in EXCEPTIONS for hit in _hits_of(path)]
    assert [
        each for each in EXCEPTIONS if not any(each[0] == path and each[1] in text for path, text in hits_of_exceptions)
    ] == []


def _hits_of(path: str) -> list[Hit]:
    return [hit for piece in pieces_of([ROOT / path]) for hit in hits(piece)]


def test_checker_counts_words_up_to_the_end_of_a_sentence() -> None:
    longest = " ".join(["word"] * LONGEST)
    assert _found(DOC, f"{longest}. {longest}; {longest}: {longest}") == []
    assert _found(DOC, f"{longest}, more.") == [f"{LONGEST + 1} words, and {LONGEST} are the most"]


@pytest.mark.parametrize(
    "text", ["The user is told.", "A host whose pod is gone.", "What is there stays.", "It waits for ever."]
)
def test_checker_rejects_private_words(text: str) -> None:
    assert len(_found(DOC, text)) == 1


@pytest.mark.parametrize(
    "text",
    ["A firewall.", "The wall clock.", "Tell apart the two.", "What is a host?", "A planet.", "Run `tell whose`."],
)
def test_checker_accepts_other_words(text: str) -> None:
    assert _found(DOC, text) == []


@pytest.mark.parametrize("name", ["told", "_has_room", "StrangerError", "test_what_is_gone_stays", "without_a_word"])
def test_checker_rejects_parts_of_names(name: str) -> None:
    assert len(_found(NAME, name)) == 1


def test_checker_skips_code_and_exempt_parts() -> None:
    exempt = "```\ntold\n```\n\n    told\n\n<!-- english: off -->\ntold\n<!-- english: on -->"
    text = f"One.\n{exempt}\n| a | b. c |\n* two\n  lines"
    blocks = list(markdown(text.split("\n")))
    assert [each.text for block in blocks for each in sentences(block)] == ["One.", "a", "b.", "c", "two lines"]
    assert blocks[-1].line == 12


def test_checker_keeps_a_number_at_the_end_of_a_sentence() -> None:
    (block,) = markdown(["* Port", "  is 9081. It is open."])
    assert [each.text for each in sentences(block)] == ["Port is 9081.", "It is open."]


def test_checker_reads_docstrings_comments_messages_and_names(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Doc."""\n# One\n# two.\nname = f"a message of {name} words"\nother = "a key"  # Three.\n')
    pieces_found = [(piece.kind, piece.block.line, piece.block.text) for piece in pieces(path)]
    assert pieces_found == [
        ("docstrings", 1, "Doc."),
        ("comments", 2, "One\ntwo."),
        ("comments", 5, "Three."),
        ("messages", 4, "a message of X words"),
        ("names", 1, "module"),
        ("names", 4, "name"),
        ("names", 5, "other"),
    ]
