"""What keeps the engine between the replicas from reading, changing or swapping what they hand to each other.

The replicas hold one secret. Answers about people are encrypted with keys made of it, names of people become digests
made with it, and a policy carries a code that only it can make.
"""

from __future__ import annotations

import hmac
import os
from typing import Final

from stguard.errors import ConfigurationError

SECRET_LENGTH: Final = 32
"""Fewest characters of the secret."""

_NONCE: Final = 12
"""Bytes of the nonce of AES-GCM (NIST SP 800-38D, section 8.2)."""


class Vault:
    """Seal, open, name and sign with keys made of one secret."""

    def __init__(self, secret: str) -> None:
        """Take the secret.

        Raises:
            ConfigurationError: it is too short, or the extra `redis` is not installed.
        """
        if len(secret) < SECRET_LENGTH:
            raise ConfigurationError(
                f"replicas that share need one secret of {SECRET_LENGTH} characters or more, got {len(secret)}; "
                "set COOKIE_SECRET to the same random text on each replica"
            )
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  only replicas need it
        except ImportError as error:
            raise ConfigurationError("replicas that share need more: `pip install 'stguard[redis]'`") from error
        self._secret: Final = secret.encode()
        self._made: Final[dict[str, bytes]] = {}
        self._cipher: Final = AESGCM(self._key("seal"))

    def name(self, kind: str, text: str) -> str:
        """Return a name for a text from which nobody without the secret finds the text."""
        return hmac.digest(self._key(f"name {kind}"), text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def sign(self, kind: str, data: bytes) -> str:
        """Return the code that proves that a replica wrote this."""
        return hmac.digest(self._key(f"sign {kind}"), data, "sha256").hex()

    def is_signed(self, kind: str, data: bytes, code: str) -> bool:
        """Tell whether a replica wrote this."""
        return hmac.compare_digest(self.sign(kind, data).encode(), code.encode("utf-8", "replace"))

    def seal(self, data: bytes, *, about: str) -> bytes:
        """Encrypt data; it opens only under the same `about`.

        SECURITY: `about` is where it will lie. Who can write there can't put one person's answer in another's place.
        """
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, about.encode())

    def open(self, sealed: bytes, *, about: str) -> bytes | None:
        """Return what was sealed; None when it was not sealed with this secret for this place, or was changed."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  as above

        if len(sealed) <= _NONCE:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
        except InvalidTag:
            return None

    def _key(self, purpose: str) -> bytes:
        # One key for one purpose: the secret itself is also Streamlit's for cookies. Purposes are few and our own.
        known = self._made.get(purpose)
        if known is None:
            known = self._made[purpose] = hmac.digest(self._secret, f"stguard shared: {purpose}".encode(), "sha256")
        return known
