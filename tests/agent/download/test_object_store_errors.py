"""Error messages of object stores."""

import time

import pytest

from manyserve.agent.download import DownloadError, choose
from manyserve.agent.download.errors import shorten, store_error
from manyserve.agent.download.object_store.location import parse_location
from manyserve.redaction import LIMIT

ANSWER = "Generic S3 error: Error performing GET http://x in 1ms - Server returned non-2xx status code: 400: "


def test_store_error_has_code_and_message_of_answer() -> None:
    message = f"{ANSWER}<Error><Code>BadDay</Code><Message>Come back\nlater</Message></Error>\n\nDebug source:\nHttp"
    assert shorten(message) == "Server returned non-2xx status code: 400: BadDay: Come back"


def test_store_error_of_azure_without_public_access_is_forbidden() -> None:
    message = (
        f"{ANSWER.replace('400', '409')}<Error><Code>PublicAccessNotPermitted</Code><Message>No.</Message></Error>"
    )
    error = store_error(RuntimeError(message), "az://c/a", "the request was anonymous")
    assert (error.reason, error.permanent) == ("forbidden", True)
    assert str(error).endswith("409: PublicAccessNotPermitted: No.; the request was anonymous")


@pytest.mark.parametrize("repeated", ["<Code>a</Code>", "<Code>", '"dns error"', "InvalidCertificate(", "://", " - "])
def test_input_30_store_error_of_ten_megabytes_is_shortened_quickly(repeated: str) -> None:
    long = repeated * (10_000_000 // len(repeated))
    started = time.process_time()
    message = str(store_error(RuntimeError(f"{ANSWER}{long}\n\nDebug source:\n{long}"), "s3://b/a"))
    assert time.process_time() - started < 1
    assert len(message) < LIMIT + 100


@pytest.mark.parametrize("uri", ["https://[::1/x", "s3://[x/y", "gs://[/x", "pvc://]/x"])
def test_input_07_invalid_url_is_named(uri: str) -> None:
    for read in (lambda: choose(uri, {}), lambda: parse_location(uri)):
        with pytest.raises(DownloadError, match=r"is no URL|does not name|cannot read") as caught:
            read()
        assert caught.value.permanent
