"""Lists the hits in files or folders, or counts them: ``python -m tests.support.english [--count] [path...]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median

from tests.support.english.files import pieces_of
from tests.support.english.rules import Hit, hits
from tests.support.english.source import COMMENT, DOC, DOCSTRING, MESSAGE, NAME, Piece
from tests.support.english.text import sentences

KINDS = (DOC, DOCSTRING, COMMENT, MESSAGE, NAME)


def main() -> int:
    """Print the hits, or the figures. Return 1 when there are hits, unless they are only counted."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.english", description=__doc__)
    parser.add_argument("--count", action="store_true", help="print figures as JSON")
    parser.add_argument("--kind", choices=KINDS, help="look at one kind only")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; none: the whole project")
    options = parser.parse_args()
    pieces = [piece for piece in pieces_of(options.paths) if options.kind in {None, piece.kind}]
    found_hits = [hit for piece in pieces for hit in hits(piece)]
    if not options.count:
        print("\n".join([*map(str, found_hits), f"{len(found_hits)} hits"]))
        return int(bool(found_hits))
    print(json.dumps({kind: _figures(kind, pieces, found_hits) for kind in KINDS}, indent=2))
    return 0


def _figures(kind: str, pieces: list[Piece], found: list[Hit]) -> dict[str, float]:
    """Return the lengths of the sentences, those in tables left out, and the number of hits."""
    rules = [hit.rule for hit in found if hit.piece.kind == kind]
    long = sum("are the most" in rule for rule in rules)
    figures: dict[str, float] = {"hits": len(rules), "long sentences": long, "rejected words": len(rules) - long}
    blocks = [piece.block for piece in pieces if piece.kind == kind and kind != NAME and not piece.block.cell]
    words = sorted(sentence.words for block in blocks for sentence in sentences(block))
    if not words:
        return figures
    tenth = words[len(words) * 9 // 10]
    return {"sentences": len(words), "median": median(words), "p90": tenth, "max": words[-1], **figures}


if __name__ == "__main__":
    raise SystemExit(main())
