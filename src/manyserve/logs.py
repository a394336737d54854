"""The log of every program: one JSON object a line on standard output, with the keys of KFServing's agent."""

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


def timestamp(seconds: float) -> str:
    """Return wall-clock seconds as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """Formats a record as one line.

    Parameters
    ----------
    clean
        Takes out of a text what must not stand in a log.
    """

    def __init__(self, clean: Callable[[str], str] = str) -> None:
        super().__init__()
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback goes into `stacktrace`."""
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


class WithoutClientsFaults(logging.Filter):
    """Makes one line without a trace of what a client sent that is no HTTP: anyone may send anything to a port."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change such a record; let all pass."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | RequestPayloadError):
            record.msg, record.args = "a request cannot be read: %s", (" ".join(str(error).split()),)
            record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        return True


def _on_one_line(text: str) -> str:
    """Return JSON in which everything is escaped that could end a line, turn its direction, or not be written."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def set_up(level: str, clean: Callable[[str], str] = str, quiet: tuple[str, ...] = ()) -> None:
    """Send the log of everything in this process to standard output; of the quiet ones only warnings."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(clean))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    server_logger.addFilter(WithoutClientsFaults())
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
