"""Settings of the agent, from the environment."""

import pytest

from manyserve.agent.settings import AgentSettings
from manyserve.api.errors import StartupError


def test_settings_are_read_from_the_environment() -> None:
    settings = AgentSettings.from_env({"MANYSERVE_SERVER_URL": "http://localhost:9/", "MANYSERVE_PARALLEL_LOADS": "3"})
    assert (settings.server_url, settings.parallel_loads) == ("http://localhost:9", 3)
    assert AgentSettings.from_env({}) == AgentSettings()


def test_settings_prefer_own_variable_to_that_of_emulator() -> None:
    assert AgentSettings.from_env({"STORAGE_EMULATOR_HOST": "gcs:4443"}).sources.gcs_endpoint == "http://gcs:4443"
    both = {"STORAGE_EMULATOR_HOST": "gcs:4443", "MANYSERVE_GCS_ENDPOINT": "https://own"}
    assert AgentSettings.from_env(both).sources.gcs_endpoint == "https://own"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MANYSERVE_AGENT_PORT", "99999"),
        ("MANYSERVE_AGENT_PORT", "http"),
        ("MANYSERVE_STORE_DIR", "models"),
        ("MANYSERVE_SERVER_URL", "ftp://x"),
        ("MANYSERVE_SERVER_URL", "http://x:99999"),
        ("MANYSERVE_PARALLEL_LOADS", "0"),
        ("MANYSERVE_LOAD_SECONDS", "nan"),
        ("MANYSERVE_LOAD_SECONDS", "-1"),
        ("MANYSERVE_LOG_LEVEL", "LOUD"),
    ],
)
def test_settings_error_is_one_sentence_with_the_name(name: str, value: str) -> None:
    with pytest.raises(StartupError, match=f"^{name}='{value}' is not valid: it must be ") as caught:
        AgentSettings.from_env({name: value})
    assert "\n" not in str(caught.value)
