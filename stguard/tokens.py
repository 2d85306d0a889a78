"""Signed tokens: JWTs of an identity provider, verified against its public keys. Pure; the moment is an argument.

RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best practice), RFC 9068 (access tokens). Signatures are checked by joserfc,
which the extra `tokens` brings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from joserfc.jwk import Key
    from joserfc.jws import CompactSignature

ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS256": ("RSA", None), "RS384": ("RSA", None), "RS512": ("RSA", None),
    "PS256": ("RSA", None), "PS384": ("RSA", None), "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
}  # fmt: skip
"""Signature algorithms that can be allowed, with the type and the curve of their keys (RFC 7518, RFC 9864).

SECURITY: asymmetric ones only. With `HS256` a public key, which everybody has, would pass for the secret.
"""

LONGEST: Final = 16_384
"""Most characters of a token."""

LONGEST_HEADER: Final = 4096
"""Most characters of its encoded header."""

SMALLEST_RSA: Final = 2048
"""Fewest bits of an RSA key (RFC 7518, section 3.3)."""

_PART: Final = r"[A-Za-z0-9_-]+"
_COMPACT: Final = re.compile(rf"{_PART}\.{_PART}\.{_PART}")
_PADDED: Final = re.compile(rf"{_PART}={{0,2}}\.{_PART}={{0,2}}\.{_PART}={{0,2}}")


class TokenError(Exception):
    """Refuse a token. The message says why, and repeats nothing of the token."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Hold one public key of an issuer.

    Attributes:
        key: the key itself.
        kid: its name; None without one.
        alg: the only algorithm it is for; None: any that fits its type.
    """

    key: Key
    kid: str | None
    alg: str | None

    def fits(self, alg: str) -> bool:
        """Tell whether this key may verify an algorithm: by its type, its curve and what it is said to be for."""
        kind, curve = ALGORITHMS[alg]
        if self.key.key_type != kind or self.alg not in {None, alg}:
            return False
        return curve is None or getattr(self.key, "curve_name", None) == curve


@dataclass(frozen=True, slots=True)
class Token:
    """Hold a token whose signature has not been checked yet.

    Attributes:
        header: the protected header; what it says about keys (`jwk`, `jku`, `x5u`, `x5c`) is never used.
        alg: the algorithm it names, one that is allowed.
        kid: the key it names; None for none.
    """

    header: Mapping[str, Any]
    alg: str
    kid: str | None
    _signature: CompactSignature

    def claims(self, key: PublicKey) -> dict[str, Any]:
        """Return the claims, once the signature is checked.

        Raises:
            TokenError: it was not signed with this key, or doesn't hold an object.
        """
        from joserfc import jws  # noqa: PLC0415  an extra
        from joserfc.errors import JoseError  # noqa: PLC0415  an extra

        if not key.fits(self.alg):
            raise TokenError("the key is not for this algorithm")
        try:
            verified = jws.validate_compact(self._signature, key.key, registry=_registry((self.alg,)))
        except (JoseError, ValueError) as error:
            raise TokenError("the signature can't be checked") from error
        if verified is not True:
            raise TokenError("the signature is wrong")
        return _object(self._signature.payload or b"", what="payload")


def parse(token: str, *, algorithms: Collection[str], padded: bool = False) -> Token:
    """Take a token apart. Nothing in it is proven yet.

    Args:
        token: in the compact form.
        algorithms: those that are allowed, of `ALGORITHMS`.
        padded: whether the parts may end in `=`, as those of AWS load balancers do; it is part of what is signed.

    Raises:
        TokenError: it isn't one, or is signed another way.
    """
    from joserfc import jws  # noqa: PLC0415  an extra

    if len(token) > LONGEST:
        raise TokenError("the token is too long")
    if not (_PADDED if padded else _COMPACT).fullmatch(token):
        raise TokenError("not a signed token in the compact form")
    first, second, third = token.encode("ascii").split(b".")
    if len(first) > LONGEST_HEADER:
        raise TokenError("the header is too long")
    header = _object(_decoded(first), what="header")
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in algorithms or alg not in ALGORITHMS:
        raise TokenError("its algorithm is not allowed")
    # RFC 7515, section 4.1.11: what is critical and not understood refuses. Nothing critical is understood here.
    if "crit" in header or "b64" in header:
        raise TokenError("its header holds an extension")
    if kid is not None and (not isinstance(kid, str) or not kid):
        raise TokenError("its `kid` is no text")
    signature = jws.CompactSignature(header, _decoded(second))
    signature.segments.update({"header": first, "payload": second, "signature": third.rstrip(b"=")})
    return Token(header, alg, kid, signature)


def check_type(header: Mapping[str, Any], *, types: Collection[str]) -> None:
    """Check the `typ` of a token, when it has one (RFC 8725, section 3.11).

    Raises:
        TokenError: it is another kind of token.
    """
    typ = header.get("typ")
    if typ is None:
        return
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in types:
        raise TokenError("another type of token")


def check_claims(
    claims: Mapping[str, Any], *, issuer: str, audiences: Collection[str], now: float, leeway: float
) -> None:
    """Check who a token is from, for whom and when (RFC 7519, section 4.1): `iss`, `aud`, `exp` and `sub` are needed.

    Args:
        claims: the verified claims.
        issuer: compared whole.
        audiences: any one of them is enough.
        now: Unix seconds.
        leeway: seconds by which the clocks may differ.

    Raises:
        TokenError: it doesn't count here or now.
    """
    if claims.get("iss") != issuer:
        raise TokenError("another issuer")
    aud = claims.get("aud")
    named = [aud] if isinstance(aud, str) else aud
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise TokenError("no usable `aud`")
    if not set(named) & set(audiences):
        raise TokenError("for another audience")
    check_moments(claims, now=now, leeway=leeway)
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        raise TokenError("no usable `sub`")


def check_moments(claims: Mapping[str, Any], *, now: float, leeway: float) -> None:
    """Check `exp`, which is needed, and `nbf` and `iat` where they are there.

    Raises:
        TokenError: it doesn't count now.
    """
    exp = _moment(claims, "exp")
    if exp is None:
        raise TokenError("no usable `exp`")
    if now >= exp + leeway:
        raise TokenError("expired")
    for name in ("nbf", "iat"):
        if name not in claims:
            continue
        since = _moment(claims, name)
        if since is None or since > now + leeway:
            raise TokenError(f"its `{name}` is in the future, or no moment")


def choose(keys: Iterable[PublicKey], *, kid: str | None, alg: str) -> PublicKey | None:
    """Return the one key that a token can have been signed with; None when there is none, or more than one."""
    found = [key for key in keys if key.fits(alg) and (kid is None or key.kid == kid)]
    return found[0] if len(found) == 1 else None


def keys_in(document: bytes) -> tuple[PublicKey, ...]:
    """Read a JWK set (RFC 7517, section 5). Keys that can't be used here are left out.

    Raises:
        ValueError: it is none.
    """
    found = json.loads(document)
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no JWK set")  # noqa: TRY004  what was read has the wrong form
    keys = (_key(entry) for entry in entries if isinstance(entry, dict))
    return tuple(key for key in keys if key is not None)


def key_in_pem(document: bytes, *, kid: str) -> PublicKey:
    """Read one public elliptic curve key in PEM.

    Raises:
        ValueError: it is none.
    """
    from joserfc.errors import JoseError  # noqa: PLC0415  an extra
    from joserfc.jwk import ECKey  # noqa: PLC0415  an extra

    try:
        return PublicKey(ECKey.import_key(document), kid, None)
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError("no public key") from error


def require() -> None:
    """Check that tokens can be verified here.

    Raises:
        ConfigurationError: the extra `tokens` is not installed.
    """
    try:
        import httpx  # noqa: F401, PLC0415  an extra
        import joserfc  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        raise ConfigurationError(
            f'verifying tokens needs `{error.name}`, which is not installed; pip install "stguard[tokens]"'
        ) from error


def _key(entry: Mapping[str, Any]) -> PublicKey | None:
    from joserfc.errors import JoseError  # noqa: PLC0415  an extra
    from joserfc.jwk import JWKRegistry  # noqa: PLC0415  an extra

    kid, alg, operations = entry.get("kid"), entry.get("alg"), entry.get("key_ops")
    if entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use") not in (None, "sig"):
        return None
    if not isinstance(kid, str | None) or not isinstance(alg, str | None):
        return None
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    public = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
    try:
        if entry["kty"] == "RSA" and int.from_bytes(_decoded(entry["n"].encode())).bit_length() < SMALLEST_RSA:
            return None
        key = JWKRegistry.import_key(public)
    except (JoseError, TokenError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return PublicKey(key, kid, alg)


def _registry(algorithms: tuple[str, ...]) -> Any:  # noqa: ANN401  the module of its type is an extra
    from joserfc import jws  # noqa: PLC0415  an extra

    return jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)


def _decoded(part: bytes) -> bytes:
    text = part.rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise TokenError("a part of it is not base64url") from error


def _object(text: bytes, *, what: str) -> dict[str, Any]:
    parse_pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] = _without_duplicates
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=parse_pairs)
    except (ValueError, RecursionError) as error:
        raise TokenError(f"its {what} is no JSON") from error
    if not isinstance(found, dict):
        raise TokenError(f"its {what} is no object")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519, section 4: a name that stands twice may be refused; who reads the first would see another token.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a claim that is a moment; None when it is absent or no finite number: `NaN` is later than nothing."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None
