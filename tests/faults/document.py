"""Writes `docs/faults.md` from `reports/faults.json`: what every fault of the last full run did."""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.env import LONG, QUIET
from tests.support.figures import REPORTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
ROWS = {
    "1": "The operator is killed after its nth write, for n = 1, 2, ... until a run ends without a kill",
    "2": "Half of all writes happen, and their answers are lost",
    "3": "Somebody rewrites the ConfigMap's metadata 20 times a second, and the way of each write of ours takes 0.2 s",
    "4": "429 with Retry-After for everything, then for patches alone",
    "5": "500, 503 and 504 for every list and watch",
    "6": "Open watches fall silent, and stay open",
    "7": "A model is deleted while its watch is cut and cannot go on (410)",
    "8": "Watches send an ERROR, an unknown event, a line of 2 MiB, and half a line",
    "9": "After a restart, the lists are old ones",
    "10": "etcd and the API server are killed with SIGKILL and come back",
    "11": "Two operators at once; again with the second one late",
    "12": "The working one of two replicas cannot renew its Lease while it writes; every write was looked at",
    "13": "Models before their host; a host deleted and made again at once, many times",
    "14": "`models.json` is emptied and edited by hand; a Deployment is scaled by hand and by an autoscaler",
    "15": "Nobody answers for the webhook; with `failurePolicy: Fail`, and with Ignore",
    "16": "The webhook hangs for 9 seconds (its timeout is 5), or answers HTML",
    "17": "The webhook's certificate is worn, expired, not yet valid, for another name, torn, of another CA; files are "
    "rewritten in each order; all that under 200 creates a second; the caBundle is emptied",
    "18": "Many clients create many more models at once than fit",
    "19": "The namespace is deleted while its models are placed",
    "20": "KServe's CRDs and objects, unmanaged ones with finalizers among them, then today's CRDs, then KServe's "
    "again; CRDs of our first release, which prune, then today's",
    "21": "The shipped roles and nothing more; a verb is taken from them; the token ends",
    "22": "A stranger has the name of a child; a quota, a LimitRange, a namespace with Pod Security restricted",
}
SHORT = (
    "The short form: each fault lasted seconds where `make faults` takes minutes, every 7th write was a kill,\n"
    "the operator gave silent watches up after 6 seconds instead of 75, and the webhook looked for its certificate\n"
    "every 2 seconds instead of 10."
)
LONG_FORM = (
    "The long form: row 1 kills after every write; the faults last 60 s (rows 2 and 11), 30 s (rows 3 and 10), 30 s\n"
    "with Retry-After of 5 s (row 4), 60 s and 300 s (row 5), until silent watches are given up after 75 s (row 6).\n"
    "In pairs each fault lasts 2 to 12 seconds, as in the short form, and silent watches are given up after 6."
)
FORM = LONG_FORM if LONG else SHORT
TOP = f"""# Faults

GENERATED from the figures of a run of tests/faults (`make faults`). Do not edit.

The real `manyserve operator`, in a process of its own, works on a real API server (etcd, kube-apiserver and its
controllers; kubelet and agents are played). Between them a proxy breaks what the row says, while a user deletes a
model, changes another and adds a third. A recorder at the API server itself keeps every revision of every object, and
`tests/faults/expectations.py` judges them. A row is green only if all of this held:

- in no revision of `models.json` was more memory placed than the host has;
- no model was dropped that nobody had changed or deleted;
- at the end every model that fits is placed as its user wants it, none that is gone is, and every status is about the
  newest spec and true;
- then nothing at all was written for {QUIET:g} seconds; nobody else's object was touched; no object has more than
  25 Events.

Some are judged by less: in row 14 the user drops the models himself, row 15 with Ignore looks at conditions alone,
and row 19 has no namespace left to judge. Row 12 is judged by who wrote when, row 17 by requests that were refused.

"Seconds until all is right again" count from the end of the fault; near 0 means that it was right before that.
"""


def run(taken: float, figures: list[dict[str, Any]]) -> str:
    """Say where, when and how the figures were taken."""
    loads = sorted(each["load"] for each in figures)
    day = datetime.fromtimestamp(taken, UTC)
    return (
        f"{day:%Y-%m-%d}, on {os.cpu_count()} CPUs, {platform.machine()}, {platform.system()}, under a load of "
        f"{loads[0]:g} to {loads[-1]:g} ({loads[len(loads) // 2]:g} in the middle). {FORM}"
    )


def main() -> None:
    """Write the document. A row that it does not know is a mistake of ours, and not left out."""
    path = REPORTS / "faults.json"
    report = json.loads(path.read_text())
    by_row: dict[str, list[str]] = defaultdict(list)
    for each in report["figures"]:
        row, _, what = each["name"].partition(" ")
        pair = what.startswith("and ")
        line = f"{each['name'] if pair else what}: {each['value']:g} {each.get('unit', '')}".rstrip()
        by_row["pairs" if pair else row].append(f"{line} (load {each['load']:g})")
    unknown = by_row.keys() - ROWS.keys() - {"pairs"}
    if unknown:
        raise SystemExit(f"tests/faults/document.py has no text for the rows {sorted(unknown)}")
    lines = [TOP, run(path.stat().st_mtime, report["figures"]), ""]
    lines += ["| row | fault | figures |", "| --- | --- | --- |"]
    lines += [f"| {row} | {what} | {'<br>'.join(by_row[row])} |" for row, what in ROWS.items() if row in by_row]
    lines += ["", "## In pairs", "", *(f"- {each}" for each in by_row["pairs"])] if by_row["pairs"] else []
    DOCUMENT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
