"""Write the generated files: `python -m webhooks.render`, from the repository's root.

`manyserve.api` is the source of the chart's CRDs and of the schema of the agent's /status. The registries of the
programs are the source of the reference of metrics, and values.yaml is the source of the table in the chart's README.
The chart is the source of the YAML in this folder, so that a reader can see and apply all of it without Helm. The
samples for the first API group are the source of those for the second. Tests compare the bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scripts import dashboards, metrics_reference, values_reference

from manyserve.api.agentreport import AgentReport
from manyserve.api_group import GROUPS, KSERVE, OWN
from manyserve.cli import crd_documents

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "chart"
SAMPLES = ROOT / "deploy" / "samples"
_SAMPLE_HEAD = "# GENERATED from deploy/samples by webhooks/render.py. Do not edit.\n"
_HEAD = "# GENERATED from deploy/chart by webhooks/render.py. Do not edit.\n"


def helm(*arguments: str) -> str:
    """Return the output of the helm beside this Python."""
    program = Path(sys.executable).with_name("helm")
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout


def status_schema() -> str:
    """Return the JSON schema of an agent's answer at /status."""
    schema = AgentReport.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema, indent=2) + "\n"


def own_samples() -> dict[Path, str]:
    """Return the samples that name the API group, for the second group."""
    texts = {path.name: path.read_text() for path in sorted(SAMPLES.glob("*.yaml"))}
    return {
        SAMPLES / OWN / name: _SAMPLE_HEAD + text.replace(KSERVE, OWN) for name, text in texts.items() if KSERVE in text
    }


def copied() -> dict[Path, str]:
    """Return the text of each file that does not come from the chart, by its path."""
    files = {CHART / "files" / group / name: text for group in GROUPS for name, text in crd_documents(group).items()}
    docs = {"agent-status.schema.json": status_schema(), "reference/metrics.md": metrics_reference.page()}
    readme, values = CHART / "README.md", CHART / "values.yaml"
    files[readme] = values_reference.with_table(readme.read_text(), values.read_text())
    files |= {CHART / "files" / "dashboards" / name: text for name, text in dashboards.files().items()}
    return files | own_samples() | {ROOT / "docs" / name: text for name, text in docs.items()}


def rendered() -> dict[Path, str]:
    """Return the text of each file that is rendered from the chart, by its path."""
    files = {}
    everything = helm("template", "manyserve", str(CHART), "--namespace", "manyserve-system")
    for each in everything.split("---\n# Source: "):
        source, _, text = each.partition("\n")
        name = source.rpartition("/templates/webhook-")[2]
        if name != source:
            files[ROOT / "webhooks" / name] = _HEAD + text
    return files


def main() -> None:
    """Write the files; the chart holds copies of CRDs, so those come first."""
    for files in (copied, rendered):
        for path, text in files().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
