"""Signatures of what leaves and comes back: reply addresses, Message-IDs, subject tokens. The newest key signs, all verify.

Not here: what is signed and where it stands (the router decides).
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from threadline_runtime.errors import ConfigurationError
from threadline_runtime.secrets import resolve_secret

__all__ = ["SIGNATURE_LENGTH", "SigningKeys", "create_signing_keys", "load_signing_keys"]

_BITS_80 = 10
_SHORTEST = 32
SIGNATURE_LENGTH = 16
"""Characters of a signature, a-z and 2-7: short enough for the local part of an address."""


class SigningKeys:
    """Keys in order, newest first. Never printed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < _SHORTEST for key in keys):
            raise ConfigurationError("signing keys: at least one, each of 32 bytes or more")
        self._keys = tuple(keys)

    def sign(self, message: bytes) -> str:
        """80 bits of a keyed BLAKE2b under the newest key, in lower-case base32."""
        return _signature(self._keys[0], message)

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether one of the keys made this signature, in constant time; mail systems may have changed its case."""
        given = signature.lower().encode("utf-8", "replace")
        fits = [hmac.compare_digest(_signature(key, message).encode(), given) for key in self._keys]
        return any(fits)


def _signature(key: bytes, message: bytes) -> str:
    digest = hashlib.blake2b(message, key=hashlib.sha256(key).digest(), digest_size=_BITS_80).digest()
    return base64.b32encode(digest).decode().lower()


def load_signing_keys(reference: str, environment: Mapping[str, str]) -> SigningKeys:
    """The keys behind `file:/path`: one a line in hex, newest first, lines with # are ignored. Raises ConfigurationError."""
    lines = resolve_secret(reference, environment).get_secret_value().splitlines()
    try:
        keys = [bytes.fromhex(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    except ValueError as error:
        raise ConfigurationError(f"THREADLINE_SIGNING_KEYS ({reference}): each line is a key in hex") from error
    return SigningKeys(keys)


def create_signing_keys(path: Path) -> None:
    """Make a file with one new random key, readable by its owner only; an existing file is left as it is."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigurationError(f"cannot write signing keys to {path}: {error.strerror}") from error
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(_SHORTEST) + "\n")
        file.flush()
        os.fsync(file.fileno())
