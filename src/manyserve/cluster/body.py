"""A body that all of the API server's decoders read alike.

What is applied on the server's side it reads as YAML, although we send JSON. YAML knows no escape in two halves,
so letters past U+FFFF, such as emoji, stand as they are; and it ends a line at some of the others, so those are
escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_ESCAPED = re.compile("[\x7f-\uffff]")


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return JSON that is YAML with the same meaning, too."""
    text = json.dumps(manifest, ensure_ascii=False)
    if not text.isascii() or "\x7f" in text:
        text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode()
