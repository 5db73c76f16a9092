"""Secrets by reference: `env:NAME` or `file:/path`, so that no configuration file holds one.

Not here: which keys are secrets (a channel's model says `SecretStr`).
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from threadline_runtime.errors import ConfigurationError

__all__ = ["resolve_secret"]

_LARGEST = 64 * 1024


def resolve_secret(reference: str, environment: Mapping[str, str]) -> SecretStr:
    """The secret behind a reference, read now; raises ConfigurationError, which never shows what was written instead of one."""
    kind, _, rest = reference.partition(":")
    if kind == "env" and rest:
        if not environment.get(rest):
            raise ConfigurationError(f"the environment variable {rest} is not set")
        return SecretStr(environment[rest])
    if kind == "file" and rest:
        return SecretStr(_read(Path(rest)))
    raise ConfigurationError("a secret must not stand here: write env:NAME or file:/path")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST).strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read the secret in {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the secret in {path} is not text") from error
    if not text:
        raise ConfigurationError(f"the secret in {path} is empty")
    return text
