"""`python -m scripts.release VERSION [IMAGE]`: write a release into dist/VERSION; `make release` calls it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from scripts.release.build import SUMS, build
from scripts.release.source import ROOT, commit, refuse_changes
from scripts.release.version import Refused, parse_image, parse_version


def main(words: list[str]) -> None:
    """Write the files, and print their sums. A release of this version that is there is replaced when all is done."""
    version, image = parse_version(words[0] if words else ""), parse_image("".join(words[1:]))
    refuse_changes()
    out = ROOT / "dist" / version.text
    out.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".building-") as scratch:
        built = Path(scratch) / version.text
        build(built, version, image, commit())
        shutil.rmtree(out, ignore_errors=True)
        built.rename(out)
    print((out / SUMS).read_text(), end="")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as error:
        print(f"make release: {error}", file=sys.stderr)
        sys.exit(2)
