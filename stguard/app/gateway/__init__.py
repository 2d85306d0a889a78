"""The gateway: ASGI middleware in front of Streamlit, for what no script sees.

Read in this order: `middleware` (what happens to a request), `places` (what a path asks for), `visitors` (who a request
comes from), `origins` and `proxies` (what a request must prove), `bearers` (programs, by their token), `stream` (the
WebSocket of a tab, frame by frame), `ledger` (which session was given which file), `signouts` (logins that were ended),
`returns` (the page asked for before sign-in), `accounts` (the page to sign in at with a local account), `application`
(`sg.App`).

INVARIANT: an exception in here refuses the request; the log says why.
"""

from __future__ import annotations

from stguard.app.gateway.application import App
from stguard.app.gateway.bearers import BearerTokens
from stguard.app.gateway.middleware import Gateway
from stguard.app.gateway.proxies import TrustedProxy

__all__ = ["App", "BearerTokens", "Gateway", "TrustedProxy"]
