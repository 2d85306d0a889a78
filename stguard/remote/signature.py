"""Signatures as minisign writes them: who signed a file, and when.

The form is that of https://jedisct1.github.io/minisign/ ("Signature format", "Public key format").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stguard.errors import ConfigurationError, StguardError, quote

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PLAIN: Final = b"Ed"
"""The file itself is signed; also the mark of each key."""

HASHED: Final = b"ED"
"""The BLAKE2b-512 hash of the file is signed."""

_KEY_LENGTH: Final = 2 + 8 + 32
_SIGNATURE_LENGTH: Final = 2 + 8 + 64
_GLOBAL_LENGTH: Final = 64
_LINES: Final = 4

_UNTRUSTED: Final = b"untrusted comment: "
_TRUSTED: Final = b"trusted comment: "

_TIMESTAMP: Final = re.compile(rb"(?:^|[\t ])timestamp:([0-9]{1,12})(?=[\t ]|$)")


class SignatureError(StguardError):
    """A file isn't what the holder of the key signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a signature that holds says.

    Attributes:
        comment: the trusted comment, which is signed too.
        timestamp: when it was signed, Unix seconds; None where the comment doesn't tell.
    """

    comment: str
    timestamp: int | None


class PublicKey:
    """Whose signatures count."""

    def __init__(self, text: str) -> None:
        """Read a key as `minisign -G` prints it: one line of 56 characters that begins with `RW`.

        Raises:
            ConfigurationError: it is no such key, or the library that checks signatures is missing.
        """
        data = _decoded(text.strip().encode(errors="replace"))
        if data is None or len(data) != _KEY_LENGTH or data[:2] != PLAIN:
            raise ConfigurationError(
                f"{quote(text)} is no public key of minisign; expected the last line of `minisign.pub`, which begins "
                "with `RW`; `minisign -G` makes a pair of keys"
            )
        self._id: Final = data[2:10]
        self._key: Final = _ed25519(data[10:])

    @property
    def id(self) -> str:
        """Return the key's id as minisign prints it."""
        return _shown(self._id)

    def check(self, data: bytes, signature: bytes) -> Signed:
        """Return what the signature of a file says, when both it and its trusted comment are of this key.

        INVARIANT: nothing is read out of a comment before its signature holds.

        Args:
            data: the file.
            signature: the content of the `.minisig` file beside it.

        Raises:
            SignatureError: the signature is damaged, of another key, or of another file.
        """
        lines = signature.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        if len(lines) != _LINES or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
            raise SignatureError("the signature is not of the form that minisign writes, or is cut short")
        signed, whole = _decoded(lines[1]), _decoded(lines[3])
        if signed is None or len(signed) != _SIGNATURE_LENGTH or whole is None or len(whole) != _GLOBAL_LENGTH:
            raise SignatureError("the signature is damaged")
        mark, key_id, of_file = signed[:2], signed[2:10], signed[10:]
        if mark not in {PLAIN, HASHED}:
            raise SignatureError(f"the signature is of the kind {quote(mark.decode(errors='replace'))}, not known here")
        if key_id != self._id:
            raise SignatureError(f"the signature is of the key {_shown(key_id)}; expected the key {self.id}")
        message = hashlib.blake2b(data).digest() if mark == HASHED else data
        if not self._holds(of_file, message):
            raise SignatureError("the signature is not of this file, or not of this key")
        comment = lines[2].removeprefix(_TRUSTED)
        # SECURITY: the comment holds the moment of signing; another one would let an older file pass for a newer.
        if not self._holds(whole, of_file + comment):
            raise SignatureError("the trusted comment was changed after signing")
        return Signed(comment=comment.decode(errors="replace"), timestamp=_timestamp(comment))

    def _holds(self, signature: bytes, message: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  an extra

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def _timestamp(comment: bytes) -> int | None:
    found = _TIMESTAMP.findall(comment)
    if len(found) > 1:
        raise SignatureError("the trusted comment holds more than one timestamp")
    return int(found[0]) if found else None


def _decoded(line: bytes) -> bytes | None:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        return None


def _shown(key_id: bytes) -> str:
    return f"{int.from_bytes(key_id, 'little'):X}"  # minisign prints no leading zeros


def _ed25519(data: bytes) -> Ed25519PublicKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  an extra
    except ImportError as error:
        raise ConfigurationError(
            "signatures are checked by cryptography, which is not installed; `pip install 'stguard[remote]'`"
        ) from error
    return Ed25519PublicKey.from_public_bytes(data)
