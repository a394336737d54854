"""Settings of all programs: pydantic-settings over a mapping of environment variables.

Each field names its variables, and its type names its parser. An empty variable counts as unset. All wrong
variables of one start are reported by one `StartupError`, on one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from manyserve.api.errors import StartupError, invalid_variable
from manyserve.api.scope import LabelSelector, Scope, parse_namespaces, parse_selector
from manyserve.settings_types import from_text

NAMESPACES = "MANYSERVE_WATCH_NAMESPACES"
SELECTOR = "MANYSERVE_NAMESPACE_SELECTOR"
_CREDENTIALS = re.compile(r"(?<=://)\S*(?=@)|^[^/\s]*(?=@)|(?<=\?)\S+")
"""The user, the password and the query of a URL."""


def env(*variables: str, default: Any, secret: bool = False) -> Any:
    """Return a field that is read from the first of its variables that is set. A secret is in no message."""
    return Field(default, validation_alias=AliasChoices(*variables), repr=not secret)


class Settings(BaseSettings):
    """Base class of frozen settings. The constructor takes fields by name, and only `from_env` reads variables."""

    model_config = SettingsConfigDict(
        frozen=True, validate_by_name=True, case_sensitive=True, env_ignore_empty=True, enable_decoding=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Exclude `os.environ`, so that the constructor does not depend on it."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from an environment. Raises `StartupError` with all wrong variables."""
        try:
            return cls(**_texts(cls, environ))
        except ValidationError as error:
            messages = [_message(cls, each, environ) for each in error.errors(include_url=False)]
        raise StartupError("; ".join(messages))


class ScopedSettings(Settings):
    """Settings of a program with a scope: all namespaces, a list, or the namespaces that a selector matches."""

    watch_namespaces: Annotated[tuple[str, ...], from_text(parse_namespaces)] = env(NAMESPACES, default=())
    namespace_selector: Annotated[LabelSelector | None, from_text(parse_selector)] = env(SELECTOR, default=None)

    @field_validator("namespace_selector")
    @classmethod
    def _alone(cls, selector: LabelSelector | None, info: ValidationInfo) -> LabelSelector | None:
        if selector is not None and info.data.get("watch_namespaces"):
            raise ValueError(f"must be unset while {NAMESPACES} is set")
        return selector

    @property
    def scope(self) -> Scope:
        """The namespaces in which objects are managed."""
        return Scope(self.watch_namespaces, self.namespace_selector)


class _Variables(EnvSettingsSource):
    """Source of the variables of a mapping, instead of those of the process."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: text for name, text in self._environ.items() if text}


def _texts(settings: type[Settings], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the texts of set variables, keyed by the alias of their field, and nested settings by name."""
    nested = {name: _texts(inner, environ) for name, inner in _nested(settings).items()}
    return _Variables(settings, environ)() | nested


def _nested(settings: type[Settings]) -> dict[str, type[Settings]]:
    types = {name: field.annotation for name, field in settings.model_fields.items()}
    return {name: inner for name, inner in types.items() if isinstance(inner, type) and issubclass(inner, Settings)}


def _message(settings: type[Settings], error: ErrorDetails, environ: Mapping[str, str]) -> str:
    for step in error["loc"][:-1]:
        settings = _nested(settings).get(str(step), settings)
    field = next(field for field in settings.model_fields.values() if error["loc"][-1] in _variables(field))
    name = next((each for each in _variables(field) if environ.get(each)), str(error["loc"][-1]))
    if error["type"] == "missing":
        return f"{name} is not set: it must be {field.description}"
    allowed = str((error.get("ctx") or {}).get("error") or f"must fit: {error['msg']}")
    if not field.repr:
        return f"{name} is not valid: it {allowed}"
    return invalid_variable(name, _CREDENTIALS.sub("***", environ[name]), allowed)


def _variables(field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (str(alias),)
