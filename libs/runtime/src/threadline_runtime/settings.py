"""Settings of a process from the environment (prefix `THREADLINE_`, nested by `__`) or a `.env` file; read once, in `app.py`.

A secret may stand there itself or by reference, `file:/path` or `env:NAME`; it is looked up when the settings are read.
Not here: brands, accounts and desks (`configuration`), and opening what the URLs name (`opening`).
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from threadline_runtime.errors import ConfigurationError
from threadline_runtime.nearest import unknown
from threadline_runtime.secrets import is_reference, resolve_secret

__all__ = [
    "ApiSettings",
    "BlobSettings",
    "BusSecurity",
    "BusSettings",
    "HttpSettings",
    "LogSettings",
    "OpsSettings",
    "Settings",
    "UrlSettings",
    "load_settings",
]

_PREFIX = "THREADLINE_"
_ELSEWHERE = ("THREADLINE_API_KEY", "THREADLINE_URL", "THREADLINE_CONFIG", "THREADLINE_REQUIRE_SERVICES")
_ELSEWHERE_PREFIXES = ("THREADLINE_TEST_", "THREADLINE_FAILPOINTS")


def _looked_up(given: SecretStr) -> SecretStr:
    text = given.get_secret_value()
    try:
        return resolve_secret(text, os.environ) if is_reference(text) else given
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


Secret = Annotated[SecretStr, AfterValidator(_looked_up)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UrlSettings(_Part):
    """Where something lies that may ask for a password; unset under `threadline up` means in its data folder."""

    url: Secret | None = None

    @property
    def address(self) -> str | None:
        """The URL itself, for whoever opens it; to be shown to nobody."""
        return self.url.get_secret_value() if self.url is not None else None


class BlobSettings(_Part):
    """Where blobs lie; it holds no secret."""

    url: str | None = None


class BusSecurity(_Part):
    """How Kafka is reached when it is not open to everybody; files are paths of PEM files. Not used by SQLite."""

    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512"] | None = None
    username: str | None = None
    password: Secret | None = None


class BusSettings(UrlSettings):
    """Where the bus lies."""

    security: BusSecurity = BusSecurity()


class HttpSettings(_Part):
    """The public server."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)


class OpsSettings(_Part):
    """The server of `/livez`, `/readyz` and `/metrics`."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class LogSettings(_Part):
    """How much is logged, and for whom: `console` for people, `json` for machines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "json"


class ApiSettings(_Part):
    """The REST API."""

    first_key: Secret | None = None

    @property
    def chosen_key(self) -> str | None:
        """The operator's own choice of the first key, for whoever makes it; to be shown to nobody."""
        return self.first_key.get_secret_value() if self.first_key is not None else None


class Settings(BaseSettings):
    """All settings of a process."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    bus: BusSettings = BusSettings()
    database: UrlSettings = UrlSettings()
    blobs: BlobSettings = BlobSettings()
    http: HttpSettings = HttpSettings()
    ops: OpsSettings = OpsSettings()
    log: LogSettings = LogSettings()
    api: ApiSettings = ApiSettings()
    signing_keys: str | None = None

    def in_folder(self, data: Path) -> "Settings":
        """The same settings with everything that is not set lying in a data folder, as `threadline up` has it."""
        root = data.absolute()
        return self.model_copy(
            update={
                "bus": self.bus.model_copy(update={"url": self.bus.url or SecretStr(f"sqlite:///{root / 'bus.db'}")}),
                "database": self.database.model_copy(update={"url": self.database.url or SecretStr(f"sqlite:///{root / 'threadline.db'}")}),
                "blobs": BlobSettings(url=self.blobs.url or f"file://{root / 'blobs'}"),
                "signing_keys": self.signing_keys or f"file:{root / 'signing.keys'}",
            }
        )


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises ConfigurationError that names the variable. `environment` is only looked through for unknown names."""
    known = set(_names(Settings, _PREFIX))
    for name in sorted(os.environ if environment is None else environment):
        ours = name.upper().startswith(_PREFIX) and name not in _ELSEWHERE and not name.startswith(_ELSEWHERE_PREFIXES)
        if ours and name.upper() not in known:
            raise ConfigurationError(f"environment: {unknown(name, known)}")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = _PREFIX + "__".join(str(step) for step in first["loc"]).upper()
        raise ConfigurationError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        spelled = prefix + name.upper()
        yield spelled
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, spelled + "__")
