"""A client of the webhook in a process of its own, so that its memory is not the webhook's.

Arguments: the port, the file with the CA, the file with the body, the number of requests at once.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def main(port: str, authority: str, file: str, count: str) -> None:
    body, context = Path(file).read_bytes(), ssl.create_default_context(cafile=authority)

    def post(_: int) -> str:
        connection = http.client.HTTPSConnection("localhost", int(port), context=context, timeout=60)
        connection.request("POST", "/validate", body=body)
        answer = connection.getresponse()
        return f"{answer.status} {answer.read(1024).decode()}"

    with ThreadPoolExecutor(int(count)) as pool:
        for line in pool.map(post, range(int(count))):
            print(line.strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
