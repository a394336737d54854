"""Google Cloud Storage, `gs://bucket/path`: with a credentials file if one is given, else anonymously."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from manyserve.agent.settings import AgentSettings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, GCSStore, RetryConfig

# Short: the agent tries again itself, with its own clock, and can say meanwhile what is wrong.
RETRIES: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}


class BucketOpener:
    """Opens buckets and keeps them, with their connections."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self.open = lru_cache(maxsize=64)(self._open)

    def _open(self, bucket: str) -> GCSStore:
        from obstore.store import GCSStore  # noqa: PLC0415 (only when needed: it is large)

        return GCSStore(bucket, config=self._config(), client_options=self._client(), retry_config=RETRIES)

    def _config(self) -> GCSConfig:
        credentials, endpoint = self._settings.sources.gcs_credentials, self._settings.sources.gcs_endpoint
        config: GCSConfig = {"application_credentials": credentials} if credentials else {"skip_signature": True}
        return config | {"base_url": endpoint} if endpoint else config

    def _client(self) -> ClientConfig:
        endpoint = self._settings.sources.gcs_endpoint or ""
        return {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=self._settings.stall_seconds),
            "timeout": timedelta(seconds=self._settings.download_seconds),
        }
