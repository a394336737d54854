"""Encoding of request bodies that JSON and YAML decoders read alike.

The API server reads the body of a server-side apply as YAML, although we send JSON. YAML has no surrogate pairs, so
letters past U+FFFF, such as emoji, are not escaped. YAML ends a line at some other letters, so those are escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_ESCAPED = re.compile("[\x7f-\uffff]")


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest as JSON that is also YAML with the same meaning."""
    text = json.dumps(manifest, ensure_ascii=False)
    if not text.isascii() or "\x7f" in text:
        text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode()
