"""Settings of all programs: pydantic-settings over a mapping of environment variables.

Each field names its variables, and its type names its parser. An empty variable counts as unset. All wrong
variables of one start are reported by one `StartupError`, on one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from manyserve.api.addresses import Network
from manyserve.api.errors import StartupError, invalid_variable
from manyserve.api.scope import LabelSelector, Scope, parse_namespaces, parse_selector

NAMESPACES = "MANYSERVE_WATCH_NAMESPACES"
SELECTOR = "MANYSERVE_NAMESPACE_SELECTOR"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
_MAX_SECONDS = 1e7
Number = TypeVar("Number", int, float)
_CREDENTIALS = re.compile(r"(?<=://)\S*(?=@)|^[^/\s]*(?=@)|(?<=\?)\S+")
"""The user, the password and the query of a URL."""


def port(text: str) -> int:
    """Parse a TCP port."""
    number = _number(int, text) if text.isascii() and text.isdecimal() else None
    if number is None or not 0 < number < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return number


def flag(text: str) -> bool:
    """Parse a boolean, in any case of its letters."""
    if text.lower() not in _FLAGS:
        raise ValueError("must be true or false (or 1 or 0)")
    return _FLAGS[text.lower()]


def level(text: str) -> str:
    """Parse a log level, in any case of its letters."""
    if text.upper() not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return text.upper()


def count(text: str) -> int:
    """Parse a whole number above 0."""
    number = _number(int, text)
    if number is None or number < 1:
        raise ValueError("must be a whole number above 0")
    return number


def seconds(text: str) -> float:
    """Parse a duration in seconds."""
    number = _number(float, text)
    if number is None or not 0 < number < _MAX_SECONDS:
        raise ValueError(f"must be a number of seconds above 0 and below {_MAX_SECONDS:.0f}")
    return number


def path(text: str) -> Path:
    """Parse an absolute path."""
    if not Path(text).is_absolute():
        raise ValueError("must be an absolute path")
    return Path(text)


def folder(text: str) -> Path:
    """Parse the path of a folder that exists."""
    if not Path(text).is_dir():
        raise ValueError("must be a folder that exists")
    return Path(text)


def url(text: str) -> str:
    """Parse an http or https URL; without a scheme it is http, and a slash at its end is dropped."""
    whole = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(whole)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("must be an http or https URL")
    return whole.rstrip("/")


def networks(text: str) -> tuple[Network, ...]:
    """Parse networks in CIDR form, separated by commas."""
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"must be networks in CIDR form, separated by commas: {error}") from None


def one_of(*names: str) -> BeforeValidator:
    """Return the validator of a name out of a list."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text

    return from_text(parse)


def from_text(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return the validator that parses the text of a variable; other values are left to pydantic."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


Port = Annotated[int, from_text(port)]
Flag = Annotated[bool, from_text(flag)]
Count = Annotated[int, from_text(count)]
Seconds = Annotated[float, from_text(seconds)]
AbsolutePath = Annotated[Path, from_text(path)]
Folder = Annotated[Path, from_text(folder)]
Url = Annotated[str, from_text(url)]
Networks = Annotated[tuple[Network, ...], from_text(networks)]
LogLevel = Annotated[str, from_text(level)]


def env(*variables: str, default: Any, secret: bool = False) -> Any:
    """Return a field that is read from the first of its variables that is set; no message shows a secret."""
    return Field(default, validation_alias=AliasChoices(*variables), repr=not secret)


class Settings(BaseSettings):
    """Base class: frozen; the constructor takes fields by name, and only `from_env` reads variables."""

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
        """Leave `os.environ` out, so that a constructor's result does not depend on it."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings of an environment. Raises `StartupError` with all wrong variables."""
        try:
            return cls(**_texts(cls, environ))
        except ValidationError as error:
            messages = [_message(cls, each, environ) for each in error.errors(include_url=False)]
        raise StartupError("; ".join(messages))


class ScopedSettings(Settings):
    """Settings of a program with a scope: all namespaces, a list of them, or those that a selector matches."""

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
    """The variables of a mapping in place of those of the process."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: text for name, text in self._environ.items() if text}


def _texts(settings: type[Settings], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the texts of the variables that are set, by the alias of their field; nested settings by their name."""
    nested = {name: _texts(inner, environ) for name, inner in _nested(settings).items()}
    return _Variables(settings, environ)() | nested


def _nested(settings: type[Settings]) -> dict[str, type[Settings]]:
    kinds = {name: field.annotation for name, field in settings.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Settings)}


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


def _number(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None
