"""An address of a policy, with what proves that the policy is the one that was meant."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from stguard.errors import ConfigurationError, quote
from stguard.remote.signature import PublicKey, SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_VARIABLE: Final = "STGUARD_POLICY_PUBLIC_KEY"
"""Environment variable: the public key of minisign, where `$STGUARD_POLICY` is an address."""

HASH_VARIABLE: Final = "STGUARD_POLICY_SHA256"
"""Environment variable: the SHA-256 of the policy, in place of a key."""

DAY: Final = 86_400.0

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SHA256: Final = re.compile("[0-9a-f]{64}")
_SCHEMES: Final = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class PolicyUrl:
    """Say where a policy is published, and whose signature or which hash it must have.

    Exactly one of `public_key` and `sha256` is given: an address proves nothing.

    Attributes:
        url: `https://`, to one YAML file; `http://` only to this machine. Its signature lies at the same address with
            `.minisig` at the end.
        public_key: the last line of `minisign.pub`, which begins with `RW`; None with `sha256`.
        sha256: the hash of the file, 64 hexadecimal digits: then it can't change until this does; None with a key.
        every: seconds between two looks.
        stale: seconds without a look that found the policy in force confirmed, after which everything is refused.
        deadline: seconds that one look may take.
        cafile: certificate authorities for this address, a PEM file; None for the usual ones.

    Raises:
        ConfigurationError: an argument is wrong, or the extra `remote` is not installed.
    """

    url: str
    public_key: str | None = None
    sha256: str | None = None
    every: float = 30.0
    stale: float = 3 * DAY
    deadline: float = 10.0
    cafile: str | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        try:
            parts = urlsplit(self.url)
            host = parts.hostname
        except (ValueError, AttributeError):
            raise ConfigurationError(f"{quote(self.url)} can't be read as an address") from None
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError("the address of a policy holds a user or password; they would end up in logs")
        if not host or parts.scheme not in {"https", "http"} or parts.fragment:
            raise ConfigurationError(f"a policy's address is `https://…`, to one YAML file, got {quote(self.url)}")
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise ConfigurationError(f"a policy's address begins with `https://`, got {quote(self.url)}")
        if (self.public_key is None) is (self.sha256 is None):
            raise ConfigurationError(
                "sg.PolicyUrl needs what proves the policy, one of: `public_key`, the last line of `minisign.pub`; "
                "`sha256`, as `sha256sum` prints it"
            )
        if self.public_key is not None:
            PublicKey(self.public_key)
        elif not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise ConfigurationError(f"`sha256` is 64 digits 0-9 and a-f, got {quote(self.sha256)}")
        for name in ("every", "stale", "deadline"):
            seconds = getattr(self, name)
            if (
                isinstance(seconds, bool)
                or not isinstance(seconds, int | float)
                or not isfinite(seconds)
                or seconds <= 0
            ):
                raise ConfigurationError(f"`{name}` of sg.PolicyUrl is seconds above 0, got {quote(seconds)}")

    @property
    def signature_url(self) -> str | None:
        """Where the signature lies; None with a hash."""
        if self.public_key is None:
            return None
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"{parts.path}.minisig"))

    @property
    def name(self) -> str:
        """What the file is called in messages."""
        return urlsplit(self.url).path.rpartition("/")[2] or "policy.yaml"

    def proved(self, content: bytes, signature: bytes | None) -> int:
        """Return when the policy was signed, Unix seconds, if it is the one that was meant; 0 with a hash.

        Raises:
            SignatureError: it isn't, or nobody knows when it was signed.
        """
        if self.public_key is None:
            # INVARIANT: with no key there is a hash.
            if self.sha256 is None or not hmac.compare_digest(hashlib.sha256(content).hexdigest(), self.sha256):
                raise SignatureError("the policy has another hash than `sha256` says")
            return 0
        signed = PublicKey(self.public_key).check(content, signature or b"")
        if signed.timestamp is None:
            # SECURITY: then an older policy could pass for a newer one.
            raise SignatureError("the signature doesn't say when it was made; sign without `-t`, or with `timestamp:…`")
        return signed.timestamp


def from_environment(environ: Mapping[str, str] = os.environ, *, url: str) -> PolicyUrl:
    """Return the address that the environment names, with the proof that it names.

    Raises:
        ConfigurationError: as for `PolicyUrl`.
    """
    try:
        return PolicyUrl(url, public_key=environ.get(KEY_VARIABLE) or None, sha256=environ.get(HASH_VARIABLE) or None)
    except ConfigurationError as error:
        raise ConfigurationError(f"$STGUARD_POLICY: {error}; see ${KEY_VARIABLE} and ${HASH_VARIABLE}") from error


def is_address(text: object) -> bool:
    """Tell whether a text is an address and no path."""
    return isinstance(text, str) and text.lower().startswith(_SCHEMES)
