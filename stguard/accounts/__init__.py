"""Local accounts: people without an identity provider, listed in a file with hashes of their passwords.

Read in this order: `accountsfile` (what the file holds), `passwords` (what counts as one, and how it is checked),
`store` (the accounts in force), `throttle` (how often somebody may guess). Knows no Streamlit; the page to sign in at
is in `stguard.app.gateway.accounts`.
"""

from __future__ import annotations

from stguard.accounts.accountsfile import ISSUER, PROVIDER, Account, Accounts
from stguard.accounts.store import AccountStore

__all__ = ["ISSUER", "PROVIDER", "Account", "AccountStore", "Accounts"]
