"""Write `docs/faults.md` from `reports/faults.json`, the figures of the last full run."""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.env import LONG, QUIET
from tests.support.english.text import OFF
from tests.support.figures import REPORTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
ROWS = {
    "1": "The operator is killed after its nth write, for n = 1, 2, ... until a run ends without a kill",
    "2": "Half of all writes happen, and their answers are lost",
    "3": "A client rewrites the ConfigMap's metadata 20 times a second; each write of the operator is delayed by 0.2 s",
    "4": "429 with Retry-After for all requests, then for patches alone",
    "5": "500, 503 and 504 for every list and watch",
    "6": "Open watches fall silent, and stay open",
    "7": "A model is deleted while its watch is cut and cannot go on (410)",
    "8": "Watches send an ERROR, an unknown event, a line of 2 MiB, and half a line",
    "9": "After a restart, the API server serves old lists",
    "10": "etcd and the API server are killed with SIGKILL and come back",
    "11": "Two operators run at once; in a second run one gets its events late",
    "12": "The active one of two replicas cannot renew its Lease while it writes; every write is checked",
    "13": "Models are created before their host; a host is deleted and created again at once, many times",
    "14": "`models.json` is emptied and edited by hand; a Deployment is scaled by hand and by an autoscaler",
    "15": "The webhook does not answer; with `failurePolicy: Fail`, and with Ignore",
    "16": "The webhook hangs for 9 seconds (its timeout is 5), or answers HTML",
    "17": "The webhook's certificate is due for renewal, expired, not yet valid, for another name, cut short, of "
    "another CA; its files are rewritten in each order; 200 creates a second run meanwhile; the caBundle is emptied",
    "18": "Many clients create more models at once than fit",
    "19": "The namespace is deleted while its models are placed",
    "20": "KServe's CRDs and objects, unmanaged ones with finalizers among them, then the present CRDs, then KServe's "
    "again; the CRDs of manyserve's first release, which prune, then the present ones",
    "21": "Both programs have the shipped roles only; a verb is removed from them; the token expires",
    "22": "A foreign object has the name of a child; a quota, a LimitRange, a namespace with Pod Security restricted",
}
SHORT = (
    "The short form: each fault lasts seconds where `make faults` takes minutes. Every 7th write is a kill. The\n"
    "operator closes silent watches after 6 seconds instead of 75. The webhook checks its certificate every 2 seconds\n"
    "instead of 10."
)
LONG_FORM = (
    "The long form: row 1 kills after every write. The faults of rows 2 and 11 last 60 s, those of rows 3 and 10 last\n"
    "30 s. Row 4 lasts 30 s with a Retry-After of 5 s. Row 5 lasts 60 s and 300 s. Row 6 lasts until the operator\n"
    "closes silent watches after 75 s. In pairs each fault lasts 2 to 12 seconds, as in the short form, and the\n"
    "operator closes silent watches after 6 seconds."
)
FORM = LONG_FORM if LONG else SHORT
TOP = f"""# Faults

GENERATED from the figures of a run of tests/faults (`make faults`). Do not edit.

The real `manyserve operator` runs as a process on a real API server: etcd, kube-apiserver and its controllers.
Stand-ins play the kubelet and the agents. A proxy between operator and API server causes the fault of the row.
Meanwhile a user deletes a model, changes another and adds a third. A recorder at the API server keeps every revision
of every object, and
`tests/faults/expectations.py` checks them. A *host* is an InferenceService that runs a model server for many
TrainedModels. A row is green only if:

- in no revision of `models.json` the placed memory exceeded the memory of the host;
- no model was dropped that no user had changed or deleted;
- at the end every model that fits is placed as its user wants it, and no deleted model is placed;
- at the end every status is about the newest spec and true;
- then no object was written for {QUIET:g} seconds;
- no foreign object was written, and no object has more than 25 Events.

Some rows have other checks. In row 14 the user drops the models himself. Row 15 with Ignore checks conditions alone.
Row 19 has no namespace left to check. Row 12 is checked by the writers and times of all writes, row 17 by refused
requests.

"Seconds until all is right again" count from the end of the fault. A figure near 0 means that all was right before
that.
"""


def run(taken: float, figures: list[dict[str, Any]]) -> str:
    """Return the date, the machine and the form of the run."""
    loads = sorted(each["load"] for each in figures)
    day = datetime.fromtimestamp(taken, UTC)
    return (
        f"{day:%Y-%m-%d}, on {os.cpu_count()} CPUs, {platform.machine()}, {platform.system()}, under a load of "
        f"{loads[0]:g} to {loads[-1]:g} (median {loads[len(loads) // 2]:g}).\n{FORM}"
    )


def main() -> None:
    """Write the document. Raise when a figure belongs to an unknown row."""
    path = REPORTS / "faults.json"
    report = json.loads(path.read_text())
    by_row: dict[str, list[str]] = defaultdict(list)
    for figure in report["figures"]:
        row, _, what = figure["name"].partition(" ")
        pair = what.startswith("and ")
        line = f"{figure['name'] if pair else what}: {figure['value']:g} {figure.get('unit', '')}".rstrip()
        by_row["pairs" if pair else row].append(f"{line} (load {figure['load']:g})")
    unknown = by_row.keys() - ROWS.keys() - {"pairs"}
    if unknown:
        raise SystemExit(f"tests/faults/document.py has no text for the rows {sorted(unknown)}")
    lines = [TOP, run(path.stat().st_mtime, report["figures"]), "", OFF, ""]
    lines += ["| row | fault | figures |", "| --- | --- | --- |"]
    lines += [f"| {row} | {what} | {'<br>'.join(by_row[row])} |" for row, what in ROWS.items() if row in by_row]
    lines += ["", "## In pairs", "", *(f"- {figure}" for figure in by_row["pairs"])] if by_row["pairs"] else []
    DOCUMENT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
