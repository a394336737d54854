"""Documents: the API server accepts their YAML, and each reason of a model is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from manyserve.api.agentreport import ModelState
from manyserve.plan.status import context, model
from manyserve.plan.status.loading import REFUSED
from manyserve.plan.status.scaling_events import SCALED_DOWN, SCALED_UP, SHARD_ADDED, SHARD_DRAINED
from manyserve.plan.storage.claims import CLAIM_NOT_ALLOWED, CLAIM_NOT_FOUND
from tests.support.kubectl import Kubectl

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (DOCS / "stores.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: "-".join(re.findall(r"kind: (\w+)", text)))
def test_document_example_is_accepted_by_the_api_server(kubectl: Kubectl, text: str) -> None:
    printed = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=text)
    assert printed.count("server dry run") == len(list(yaml.safe_load_all(text)))


def test_documents_have_examples() -> None:
    assert len(EXAMPLES) == 7


def test_documents_explain_each_reason_of_a_model() -> None:
    text = (DOCS / "operations.md").read_text()
    constants = ("HOST_NOT_FOUND", "NO_MEMORY", "NOT_ALLOWED", "FULL", "NOT_UNLOADED", "HOMOGENEOUS_HOST")
    reasons = {context.HOST_NOT_READY, context.NOT_MMS, context.NOT_SUPPORTED}
    reasons |= {getattr(model, each) for each in constants} | {CLAIM_NOT_FOUND, CLAIM_NOT_ALLOWED, REFUSED}
    reasons |= {each.value for each in ModelState} - {"Loaded"}
    reasons |= {SCALED_UP, SCALED_DOWN, SHARD_ADDED, SHARD_DRAINED}
    assert [each for each in sorted(reasons) if f"`{each}`" not in text] == []
