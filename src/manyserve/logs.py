"""Logs of all programs: JSON lines on standard output, with the keys of KFServing's agent."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePath

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from aiohttp.web import RequestPayloadError

MAX_CLIENT_ERRORS = 10
"""Lines of a second about requests that cannot be read."""
MAX_CLIENT_ERROR = 256
"""Characters of the reason in such a line."""


def timestamp(seconds: float) -> str:
    """Format wall-clock seconds as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON.

    Parameters
    ----------
    clean
        Removes secrets from a text.
    """

    def __init__(self, clean: Callable[[str], str] = str) -> None:
        super().__init__()
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; its `stacktrace` has the traceback."""
        path = PurePath(record.pathname)
        line = {
            "level": record.levelname.lower(),
            "ts": timestamp(record.created),
            "logger": record.name,
            "caller": f"{path.parent.name}/{path.name}:{record.lineno}",
            "msg": self._clean(record.getMessage()),
        }
        if record.exc_info:
            line["stacktrace"] = self._clean(self.formatException(record.exc_info))
        return _on_one_line(json.dumps(line, ensure_ascii=False))


class ClientErrorFilter(logging.Filter):
    """Shortens errors about malformed HTTP of a client to one line without a traceback, at level INFO.

    A client may send many, and each quotes the request. So the text is cut, and few lines of a second are logged.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._lines = 0
        """Lines in that second."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change such a record, and pass it within the limit. Pass all other records."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError | RequestPayloadError):
            return True
        text = " ".join(str(error)[:MAX_CLIENT_ERROR].split())
        record.msg, record.args = "a request cannot be read: %s", (text,)
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        if int(record.created) != self._second:
            self._second, self._lines = int(record.created), 0
        self._lines += 1
        return self._lines <= MAX_CLIENT_ERRORS


def _on_one_line(text: str) -> str:
    """Escape the characters of JSON that are not printable: line ends, changes of direction, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def set_up(level: str, clean: Callable[[str], str] = str, quiet: tuple[str, ...] = ()) -> None:
    """Log to standard output, and only warnings of the loggers in `quiet`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(clean))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    server_logger.addFilter(ClientErrorFilter())
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
