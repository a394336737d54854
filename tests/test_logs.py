"""Lines about requests that cannot be read: short ones, and few in a second. All other records pass."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import BadHttpMethod

from manyserve.logs import MAX_CLIENT_ERROR, MAX_CLIENT_ERRORS, ClientErrorFilter

NOW = 1_800_000_000.0


def record(error: Exception, seconds: float = NOW) -> logging.LogRecord:
    """Return the record of an error, as aiohttp logs it."""
    exc_info = (type(error), error, None)
    made = logging.LogRecord("aiohttp.server", logging.ERROR, "x.py", 1, "Error", (), exc_info)
    made.created = seconds
    return made


def test_line_about_a_request_that_cannot_be_read_is_short() -> None:
    long = record(BadHttpMethod("x" * 300_000))
    assert ClientErrorFilter().filter(long)
    assert long.exc_info is None
    assert len(long.getMessage()) < MAX_CLIENT_ERROR + 100
    assert long.getMessage().startswith("a request cannot be read: 400, message: ")


def test_flood_of_requests_that_cannot_be_read_has_few_lines_of_each_second() -> None:
    limited = ClientErrorFilter()
    assert sum(limited.filter(record(BadHttpMethod("x"))) for _ in range(1000)) == MAX_CLIENT_ERRORS
    assert limited.filter(record(BadHttpMethod("x"), NOW + 1)), "the next second has lines of its own"


def test_errors_of_the_program_itself_all_pass_with_their_traceback() -> None:
    limited = ClientErrorFilter()
    for _ in range(10 * MAX_CLIENT_ERRORS):
        own = record(ValueError("x"))
        assert limited.filter(own)
        assert own.exc_info
