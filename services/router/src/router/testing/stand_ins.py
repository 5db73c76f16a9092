"""Small stand-ins for what tests do not look at: a signer with one fixed key, a tally that counts nothing."""

import base64
import hashlib
import hmac

__all__ = ["CountNothing", "HmacSigner"]


class HmacSigner:
    """Signs with one fixed key."""

    def __init__(self, key: bytes = b"k" * 32) -> None:
        self._key = key

    def sign(self, message: bytes) -> str:
        """80 bits in lower-case base32."""
        return base64.b32encode(hmac.new(self._key, message, hashlib.sha256).digest()[:10]).decode().lower()

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether it made the signature."""
        return hmac.compare_digest(self.sign(message), signature)


class CountNothing:
    """A tally that counts nothing."""

    def received(self, channel: str, account_id: str) -> None:
        """Nothing."""

    def stored(self, channel: str, account_id: str, seconds: float) -> None:
        """Nothing."""

    def ended(self, channel: str, account_id: str, outcome: str, reason: str | None) -> None:
        """Nothing."""
