"""Settings of all programs: synonyms, secrets, and one form of error."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from manyserve.agent.settings import AgentSettings
from manyserve.api.errors import SHOWN, StartupError
from manyserve.operator.settings import OperatorSettings
from manyserve.settings_env import Settings, env
from manyserve.settings_types import Url
from manyserve.webhook.settings import WebhookSettings

FLAGS = [("true", True), ("TRUE", True), ("1", True), ("False", False), ("0", False)]


class Example(Settings):
    token: Url = env("EXAMPLE_TOKEN", default="http://localhost", secret=True)
    server: Url = env("EXAMPLE_SERVER", default="http://localhost")


def error_of(settings: type[Settings], environ: Mapping[str, str]) -> str:
    with pytest.raises(StartupError) as caught:
        settings.from_env(environ)
    return str(caught.value)


@pytest.mark.parametrize(("text", "value"), FLAGS)
def test_settings_have_one_spelling_of_flags(text: str, value: bool) -> None:
    assert OperatorSettings.from_env({"MANYSERVE_LEADER_ELECTION": text}).leader_election is value
    webhook = {"POD_NAMESPACE": "system", "MANYSERVE_REFUSE_UNMANAGED": text}
    assert WebhookSettings.from_env(webhook).refuse_unmanaged is value
    assert AgentSettings.from_env({"MANYSERVE_ALLOW_HTTP": text}).sources.allow_http is value


@pytest.mark.parametrize(
    "names",
    [
        ("MANYSERVE_GCS_ENDPOINT", "STORAGE_EMULATOR_HOST"),
        ("MANYSERVE_HF_ENDPOINT", "HF_ENDPOINT"),
        ("MANYSERVE_S3_CA_FILE", "AWS_CA_BUNDLE"),
    ],
)
def test_settings_error_names_the_synonym_that_is_set(names: tuple[str, ...]) -> None:
    for name in names:
        assert error_of(AgentSettings, {name: "ftp://x"}).startswith(f"{name}='ftp://x' is not valid: it must be ")
    assert error_of(AgentSettings, dict.fromkeys(names, "ftp://x")).startswith(f"{names[0]}=")


def test_settings_take_the_first_synonym_that_is_set() -> None:
    names = ("MANYSERVE_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
    environ = {name: name.lower().replace("_", "-") for name in names}
    for name in names:
        assert AgentSettings.from_env(environ).sources.s3_region == environ[name]
        environ[name] = ""


def test_settings_ignore_empty_variables_and_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYSERVE_LEASE", "of-the-process")
    monkeypatch.setenv("sources", "[")
    assert OperatorSettings.from_env({"MANYSERVE_LEASE": ""}) == OperatorSettings()
    assert AgentSettings.from_env({"sources": "["}) == AgentSettings()


def test_settings_error_shortens_a_long_value() -> None:
    assert error_of(OperatorSettings, {"MANYSERVE_LOG_LEVEL": "x" * 10_000}) == (
        f"MANYSERVE_LOG_LEVEL='{'x' * SHOWN}…' is not valid: it must be one of DEBUG, INFO, WARNING, ERROR"
    )


def test_settings_error_keeps_a_value_on_one_line() -> None:
    assert "\n" not in error_of(OperatorSettings, {"MANYSERVE_LOG_LEVEL": "a\nb", "MANYSERVE_LEADER_ELECTION": "\r"})


def test_settings_error_shows_no_secret() -> None:
    assert error_of(Example, {"EXAMPLE_TOKEN": "ftp://s3cret"}) == (
        "EXAMPLE_TOKEN is not valid: it must be an http or https URL"
    )
    for text in ("ftp://user:s3cret@host/?sig=s3cret", "user:s3cret@host:0", "http://host:0/a?sig=s3cret"):
        assert "s3cret" not in error_of(Example, {"EXAMPLE_SERVER": text})
    assert "s3cret" not in repr(AgentSettings.from_env({"MANYSERVE_SERVER_KEY": "s3cret"}))
