"""Secrets by reference: `env:NAME` or `file:/path`, so that no configuration file holds one; and URLs shown without theirs.

Not here: which keys are secrets (a channel's model says `SecretStr`, `settings` says `Secret`).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from threadline_runtime.errors import ConfigurationError

__all__ = ["is_reference", "resolve_secret", "shown_url"]

_LARGEST = 64 * 1024
_HOST = r"(?:\[[0-9a-f:.]+\]|[\w.\-]+)(?::\d+)?"
# What does not look exactly so may be a piece of a password that was not percent-encoded.
_SERVERS = re.compile(rf"([a-z0-9+]+://)(?:[^@/?#]*@)?({_HOST}(?:,{_HOST})*(?:/[\w.\-/]*)?)(?:\?.*)?", re.ASCII)


def is_reference(text: str) -> bool:
    """Whether this names where a secret stands; else it is one."""
    return text.startswith(("env:", "file:"))


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


def shown_url(url: str) -> str:
    """What of a URL people may see: files whole, servers without login and options, and of anything odd the scheme alone."""
    if url.startswith(("sqlite:///", "file:///")):
        return url
    if (found := _SERVERS.fullmatch(url)) is not None:
        return "".join(found.groups())
    scheme, colon, _ = url.partition("://")
    return f"{scheme}://..." if colon and scheme.isalnum() else "an address without a scheme"


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
