"""Passwords: which are taken, how they are hashed and checked, and what a stored hash must be.

Sources: RFC 9106 (Argon2), OWASP Password Storage Cheat Sheet (least parameters), NIST SP 800-63B-4 section 3.1.1.2
(length, no rules of composition, a list of refused ones, Unicode).
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import ConfigurationError, quote

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST: Final = 15
"""Fewest characters (code points) of a new password: NIST SP 800-63B-4 for one that is the only factor."""

LONGEST: Final = 1024
"""Most bytes of a password; a longer one is refused, never cut."""

LEAST: Final = ((47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5))
"""KiB of memory and passes of which a hash must reach one pair: those of OWASP."""

MOST_MEMORY: Final = 1024 * 1024
"""Most KiB of memory that a hash may ask for: a slip of the pen must not take the server down."""

MOST_PASSES: Final = 32
MOST_LANES: Final = 16
SALT: Final = 16
"""Fewest bytes of a salt (RFC 9106, section 3.1)."""

TAG: Final = 16
"""Fewest bytes of a hash."""

_PHC: Final = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_ROWS: Final = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop")
_WORDS: Final = (
    "administrator", "password", "passwort", "changeme", "iloveyou", "letmein", "streamlit", "stguard", "welcome",
    "qwerty", "dragon", "monkey", "secret", "admin", "login", "guest",
)  # fmt: skip
_OWN_LETTERS: Final = 8
"""Fewest characters that must be left when what anybody would try is taken out."""

_SHORTEST_RUN: Final = 4
_SHORTEST_WORD: Final = 3


@dataclass(frozen=True, slots=True)
class Parameters:
    """Hold what a hash costs: KiB of memory, passes, lanes, and bytes of salt and hash."""

    memory: int
    passes: int
    lanes: int
    salt: int
    tag: int


def parameters(phc: str) -> Parameters:
    """Return the parameters of a stored hash.

    Source: PHC string format; Argon2id, version 1.3 (19).

    Raises:
        ValueError: it is no Argon2id hash, or costs too little or too much; the message says what was expected, and
            never repeats the hash.
    """
    found = _PHC.fullmatch(phc)
    if found is None:
        raise ValueError("expected an Argon2id hash as `stguard accounts passwd` writes it, got something else")
    salt, tag = (_decoded(part) for part in found.group(4, 5))
    if salt is None or tag is None or salt < SALT or tag < TAG:
        raise ValueError(f"expected a salt of {SALT} bytes and a hash of {TAG} bytes or more, got fewer")
    memory, passes, lanes = (int(number) for number in found.group(1, 2, 3))
    if not any(memory >= least and passes >= rounds for least, rounds in LEAST):
        raise ValueError(f"m={memory},t={passes} is too cheap to guess; expected m=19456,t=2 or more")
    if memory > MOST_MEMORY or passes > MOST_PASSES or lanes > MOST_LANES:
        raise ValueError(
            f"m={memory},t={passes},p={lanes} costs too much; expected at most "
            f"m={MOST_MEMORY},t={MOST_PASSES},p={MOST_LANES}"
        )
    return Parameters(memory, passes, lanes, salt, tag)


def decoy(like: Parameters, *, seed: bytes) -> str:
    """Return a hash that costs the same to check as another, and that no password has but by chance."""
    salt, tag = (
        base64.b64encode(hashlib.shake_256(part + seed).digest(length)).decode("ascii").rstrip("=")
        for part, length in ((b"salt", like.salt), (b"tag", like.tag))
    )
    return f"$argon2id$v=19$m={like.memory},t={like.passes},p={like.lanes}${salt}${tag}"


def prepared(password: str) -> bytes:
    """Return the bytes of a password that are hashed.

    NFKC, so that one text typed on two keyboards is one password (NIST SP 800-63B-4, section 3.1.1.2). No SASLprep
    (RFC 4013): it knows Unicode 3.2 only, and refuses what came later.

    Raises:
        ValueError: it is too long, or no Unicode text.
    """
    if len(password) > LONGEST:
        raise ValueError(f"the password is longer than {LONGEST} bytes")
    data = unicodedata.normalize("NFKC", password).encode("utf-8")
    if len(data) > LONGEST:
        raise ValueError(f"the password is longer than {LONGEST} bytes")
    return data


def hashed(password: bytes) -> str:
    """Return the hash of a prepared password as it is stored: the second choice of RFC 9106, section 4."""
    text: str = _hasher().hash(password)
    return text


def ready() -> None:
    """Check that passwords can be hashed here.

    Raises:
        ConfigurationError: the package for it is missing.
    """
    _hasher()


def matches(phc: str, password: bytes) -> bool:
    """Tell whether a stored hash is that of a prepared password. Takes time and memory on purpose.

    Raises:
        argon2.exceptions.VerificationError: it could not be worked out, as without memory.
    """
    from argon2.exceptions import VerifyMismatchError  # noqa: PLC0415  comes with an extra

    try:
        return bool(_hasher().verify(phc, password))
    except VerifyMismatchError:
        return False


def is_dated(phc: str) -> bool:
    """Tell whether a new hash would have other parameters."""
    return bool(_hasher().check_needs_rehash(phc))


def reject(password: str, *, words: Iterable[str] = ()) -> str | None:
    """Return why a new password is not taken; None when it is.

    No rules of composition (NIST SP 800-63B-4): length counts, and that it isn't what anybody would try.

    Args:
        password: as it was typed.
        words: what is known about its owner: user name, name, e-mail.
    """
    try:
        text = prepared(password).decode("utf-8")
    except ValueError as error:
        return str(error)
    if len(text) < SHORTEST:
        return f"expected {SHORTEST} characters or more, got {len(text)}; a few words in a row are easy to remember"
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "control characters can't be typed on every keyboard; leave them out"
    if len(_rest(text.casefold(), words)) < _OWN_LETTERS:
        return "that is one of the first to be tried; a few words in a row that nobody else would choose are better"
    return None


def _rest(text: str, words: Iterable[str]) -> str:
    """Return what is left of a text without repetitions, runs of keys, and words that anybody would try."""
    parts = {part for word in words for part in re.split(r"[\W_]+", word.casefold())}
    for word in sorted({part for part in parts if len(part) >= _SHORTEST_WORD} | set(_WORDS), key=len, reverse=True):
        text = text.replace(word, "")
    for row in (*_ROWS, *(row[::-1] for row in _ROWS)):
        for length in range(len(row), _SHORTEST_RUN - 1, -1):
            for start in range(len(row) - length + 1):
                text = text.replace(row[start : start + length], "")
    # `abcabcabc` and `aaaaaaaa` hold no more than `abc` and `a`.
    for length in range(1, _OWN_LETTERS):
        if text and len(text) > length and (text[:length] * len(text))[: len(text)] == text:
            return text[:length]
    return "".join(sorted(set(text))) if len(set(text)) < _SHORTEST_RUN else text


def _decoded(part: str) -> int | None:
    """Return how many bytes a part in unpadded base64 holds; None when it is none."""
    try:
        return len(base64.b64decode(part + "=" * (-len(part) % 4), validate=True))
    except ValueError:
        return None


def _hasher() -> Any:  # noqa: ANN401  of a package that comes with an extra
    try:
        from argon2 import PasswordHasher  # noqa: PLC0415  see above
        from argon2.profiles import RFC_9106_LOW_MEMORY  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(f"local accounts need {quote('argon2-cffi')}; install `stguard[accounts]`") from error
    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
