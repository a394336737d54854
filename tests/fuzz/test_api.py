"""Properties of `api/`: each type parses any structure or raises `ValidationError`.

A parsed object survives a round trip through its wire form. Readers of texts (quantities, durations, URIs, addresses,
whole `models.json` lists) return a value or raise `ValueError`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import manyserve.api
from manyserve.api import address_policy, credentialsconfig, modelconfig, servingconfig, storageuri
from manyserve.api.agentreport import AgentReport, read
from manyserve.api.kube_model import KubeModel
from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import LARGEST, format_memory, parse_duration, parse_memory, parse_quantity
from tests.fuzz.profile import sentence_of, tried
from tests.fuzz.shapes import JSON, NUMBERS, TEXT, near, right


def types_of_api() -> list[type[KubeModel]]:
    """Return every subclass of `KubeModel` in the modules of `api/`."""
    for module in pkgutil.iter_modules(manyserve.api.__path__):
        importlib.import_module(f"manyserve.api.{module.name}")

    def below(kind: type[KubeModel]) -> Iterator[type[KubeModel]]:
        for subclass in kind.__subclasses__():
            yield subclass
            yield from below(subclass)

    types = {each for each in below(KubeModel) if each.__module__.startswith("manyserve.api.")}
    return sorted(types, key=lambda kind: kind.__name__)


TYPES = types_of_api()


def test_api_types_are_all_found() -> None:
    names = {each.__name__ for each in TYPES}
    assert {"InferenceService", "TrainedModel", "Entry", "AgentReport", "ServingConfig", "Condition"} <= names
    assert len(TYPES) > 30


def report_or_none(parse: Callable[[bytes], AgentReport], body: bytes) -> AgentReport | None:
    try:
        return parse(body)
    except ValueError:
        return None


@given(near(AgentReport) | JSON, near(AgentReport))
@tried(200)
def test_agent_report_read_incrementally_equals_a_full_parse(report: Any, before: Any) -> None:
    body, earlier = json.dumps(report).encode(), json.dumps(before).encode()
    known = report_or_none(AgentReport.model_validate_json, earlier)
    incremental = report_or_none(lambda text: read(text, known), body)
    full = report_or_none(AgentReport.model_validate_json, body)
    expected = full and full.model_copy(update={"dropped": 0})  # which no agent sets
    assert repr(incremental) == repr(expected)  # NaN is not equal to NaN


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
@tried(20)
def test_api_type_parses_any_structure_or_raises_validation_error(kind: type[KubeModel], data: st.DataObject) -> None:
    with contextlib.suppress(ValidationError):
        kind.from_wire(data.draw(near(kind) | JSON))  # passes when nothing is raised


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
@tried(15)
def test_api_type_survives_a_round_trip(kind: type[KubeModel], data: st.DataObject) -> None:
    try:
        parsed = kind.from_wire(data.draw(right(kind)))
    except ValidationError:
        return
    sent = parsed.to_wire()
    again = kind.from_wire(sent)
    assert json.dumps(again.to_wire(), sort_keys=True) == json.dumps(sent, sort_keys=True)


READERS: dict[str, Callable[[Any], object]] = {
    "quantity": parse_quantity,
    "memory": parse_memory,
    "switch": credentialsconfig.read_switch,
    "network": credentialsconfig.read_network,
}
TEXT_READERS: dict[str, Callable[[Any], object]] = {
    "duration": parse_duration,
    "url": credentialsconfig.read_url,
    "endpoint": credentialsconfig.read_endpoint,
    "ConfigMap": credentialsconfig.read_config_map,
    "models.json": modelconfig.parse,
}
URIS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from([*storageuri.URI_FORMATS, "", "S3", "file"]),
    st.sampled_from(["://", ":/", "//", ""]),
    st.sampled_from(["", "user:secret@", "[::1]", "[", "]", "bucket", "host:99999", "0x7f.1", "\uff11.0.0.1", "%2e"]),
    st.sampled_from(["", "/", "/..", "/x", "/x?token=1", "#x", ":r", "/\n"]) | TEXT,
)


@pytest.mark.parametrize("read", [*READERS.values(), *TEXT_READERS.values()], ids=[*READERS, *TEXT_READERS])
@given(text=TEXT | URIS | st.text(alphabet="0123456789.eEmkKMGiTPs+-nuh", max_size=40))
@tried(60)
def test_reader_of_text_returns_or_raises_value_error(read: Callable[[Any], object], text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)  # passes when nothing is raised


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@given(value=JSON | NUMBERS | st.lists(st.integers(), max_size=2))
@tried(40)
def test_reader_of_value_returns_or_raises_value_error(read: Callable[[Any], object], value: object) -> None:
    with contextlib.suppress(ValueError):
        read(value)  # passes when nothing is raised


@given(st.text(alphabet="0123456789.eEmkKMGiTP+-nu", max_size=40) | st.integers())
@tried(80)
def test_parsed_memory_fits_63_bits_and_is_printable(text: str | int) -> None:
    with contextlib.suppress(ValueError):
        count = parse_memory(text)
        assert isinstance(count, int)
        assert 0 < count <= LARGEST
        assert format_memory(count).isascii()


@given(TEXT | URIS)
@tried(80)
def test_storage_uri_functions_accept_any_text(uri: str) -> None:
    storageuri.scheme_of(uri)
    storageuri.is_safe(uri)
    for uri_format in storageuri.URI_FORMATS.values():
        storageuri.matches_format(uri, uri_format)
    claim = storageuri.claim_of(uri)
    assert claim is None or (claim and "/" not in claim)


@given(TEXT | URIS | st.ip_addresses().map(str), st.lists(st.ip_addresses(), max_size=2))
@tried(80)
def test_address_policy_decides_any_hostname(host: str, allowed: list[Any]) -> None:
    networks = [credentialsconfig.read_network(each) for each in allowed]
    with contextlib.suppress(address_policy.RefusedError):
        address = address_policy.literal(host)
        if address is not None:
            refusal = address_policy.refusal(address, networks)
            assert not refusal or address not in allowed


@given(st.dictionaries(st.sampled_from(list(servingconfig.ServingConfig.model_fields)), JSON.map(json.dumps) | TEXT))
@tried(60)
def test_serving_config_parses_or_has_one_sentence(data: dict[str, str]) -> None:
    sentence = sentence_of(servingconfig.parse, data, kind=servingconfig.ConfigError)
    assert sentence is None or sentence.startswith("inferenceservice-config: ")


@given(st.binary(max_size=64) | JSON.map(lambda each: json.dumps(each).encode()), st.lists(right(Entry), max_size=3))
@tried(60)
def test_model_config_parses_or_raises_value_error(data: bytes, entries: list[Any]) -> None:
    with contextlib.suppress(ValueError):
        modelconfig.parse(data)
    with contextlib.suppress(ValueError):
        modelconfig.unpack(data)
    with contextlib.suppress(ValueError):
        parsed = modelconfig.parse(json.dumps(entries))
        text = modelconfig.dump(parsed)
        assert modelconfig.dump(modelconfig.parse(text)) == text
        assert modelconfig.unpack(modelconfig.pack(text)).decode() == text
