"""Check the subject of a commit message: `package: imperative`, at most 72 characters. A commit-msg hook calls it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LONGEST = 72
"""Characters of a subject."""
FORM = re.compile(r"[a-z0-9][a-z0-9_./-]*(, [a-z0-9][a-z0-9_./-]*)*: [a-z0-9`].*[^.]")
_MADE_BY_GIT = ("Merge ", "Revert ", "fixup! ", "squash! ")


def problem(subject: str) -> str | None:
    """Return why a subject is refused, or None."""
    if subject.startswith(_MADE_BY_GIT):
        return None
    if len(subject) > LONGEST:
        return f"the subject has {len(subject)} characters; at most {LONGEST} are allowed"
    if not FORM.fullmatch(subject):
        return (
            "the subject must be `package: imperative`, such as `operator: debounce config writes`, without a full stop"
        )
    return None


def main(path: Path) -> int:
    """Return 1 and print the problem when the message in a file has one."""
    lines = path.read_text().splitlines()
    refusal = problem(lines[0] if lines else "")
    if refusal:
        print(f"commit message: {refusal}", file=sys.stderr)
    return 1 if refusal else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
