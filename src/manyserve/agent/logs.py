"""The agent's log: one JSON object a line on standard output, with the keys of KFServing's agent."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import PurePath

from manyserve.agent.text import without_secrets

LOGGER = "manyserve.agent"


def timestamp(seconds: float) -> str:
    """Return wall-clock seconds as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """Formats a record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback goes into `stacktrace`."""
        path = PurePath(record.pathname)
        line = {
            "level": record.levelname.lower(),
            "ts": timestamp(record.created),
            "logger": record.name,
            "caller": f"{path.parent.name}/{path.name}:{record.lineno}",
            "msg": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            line["stacktrace"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str) -> None:
    """Send the log of everything in this process to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
