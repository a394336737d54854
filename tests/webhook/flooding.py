"""A client of the webhook in a process of its own, so that its memory is not the webhook's.

Arguments: the port, the file with the CA, the file with the body, the number of requests at once. Each request has its
own number in place of `NUMBER` in the body. The requests come from `ADDRESS`, which is no API server's.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NUMBER = b"%NUMBER%"
ADDRESS = "127.0.0.2"


def main(port: str, authority: str, file: str, count: str) -> None:
    body, context = Path(file).read_bytes(), ssl.create_default_context(cafile=authority)

    before, found, after = body.partition(NUMBER)  # all requests share these bytes

    def post(number: int) -> str:
        connection = http.client.HTTPSConnection(
            "localhost", int(port), context=context, timeout=60, source_address=(ADDRESS, 0)
        )
        own = f"{number:0{len(NUMBER)}}".encode() if found else b""
        connection.request("POST", "/validate", body=(before, own, after), headers={"Content-Length": str(len(body))})
        answer = connection.getresponse()
        return f"{answer.status} {answer.read(1024).decode()}"

    with ThreadPoolExecutor(int(count)) as pool:
        for line in pool.map(post, range(int(count))):
            print(line.strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
