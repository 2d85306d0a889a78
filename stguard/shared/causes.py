"""Why the engine can't be reached, in words that an operator can act on.

SECURITY: the text of an error may hold the address, with a password, or what somebody else's server said. Nothing of it
is repeated but names of classes and words of OpenSSL's own lists.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from stguard.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNTRUSTED: Final = "is not signed by an authority that is trusted here; `ssl_ca_certs` names one"
_ELSEWHERE: Final = "is for another host"

_CERTIFICATE: Final = {
    9: "is not valid yet",
    10: "has expired",
    18: _UNTRUSTED,
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: _ELSEWHERE,
    64: _ELSEWHERE,
}
"""What OpenSSL's numbers say of a certificate (`X509_V_ERR_…`); its own words for the last two repeat the host."""

_DEMANDS: Final = "a server that demands a client certificate needs `ssl_certfile` and `ssl_keyfile`"

_CUT_OFF: Final = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

_CLOSED: Final = "Connection closed by server."
"""What redis-py says when the other end hangs up without an error."""


def cause(error: Exception, *, tls: bool, met: bool) -> str:
    """Say why a call of the engine failed.

    Args:
        error: what the call raised.
        tls: whether the address asks for TLS.
        met: whether the engine was reached before; who hangs up then says nothing about the address.
    """
    name = type(error).__name__
    for each in _chain(error):
        words = _words(each, tls=tls, met=met)
        if words and words != name:
            return f"{name}: {words}"
    return name


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _words(error: BaseException, *, tls: bool, met: bool) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _CERTIFICATE.get(error.verify_code)
        return f"its certificate {known or f'is refused, {quote(error.verify_message)}'}"
    if not met and (isinstance(error, _CUT_OFF) or str(error) == _CLOSED):
        return f"it hangs up; {_DEMANDS if tls else 'a server that speaks TLS needs `rediss://`'}"
    if not met and tls and isinstance(error, TimeoutError) and "handshake" in str(error):
        return "no answer to the beginning of TLS; does the server speak TLS at this port?"
    if isinstance(error, ssl.SSLError) and not isinstance(error, _CUT_OFF) and error.reason:
        if error.reason == "WRONG_VERSION_NUMBER":
            return "the server doesn't speak TLS at this port"
        refused = "_ALERT_" in error.reason
        return f"it refuses TLS, {quote(error.reason)}; {_DEMANDS}" if refused else f"TLS failed, {quote(error.reason)}"
    return type(error).__name__ if isinstance(error, OSError) else ""
