"""How names are compared: e-mails and domains case-folded and Unicode-normalised, everything else as it stands."""

from __future__ import annotations

import unicodedata
from typing import Final

PUBLIC_MAIL_DOMAINS: Final = frozenset(
    {
        "126.com", "163.com", "aol.com", "fastmail.com", "free.fr", "gmail.com", "gmx.at", "gmx.ch", "gmx.com",
        "gmx.de", "gmx.net", "googlemail.com", "hey.com", "hotmail.com", "icloud.com", "laposte.net", "libero.it",
        "live.com", "mac.com", "mail.com", "mail.ru", "me.com", "msn.com", "naver.com", "orange.fr", "outlook.com",
        "pm.me", "proton.me", "protonmail.com", "qq.com", "t-online.de", "tutanota.com", "web.de", "yahoo.com",
        "yandex.ru", "ymail.com", "zoho.com",
    }
)  # fmt: skip
"""Domains where anybody may open a mailbox."""


def normalise(text: str) -> str:
    """Return an e-mail or a domain in the form in which it is compared.

    Source: Unicode Standard, section 3.13, NFKC_Casefold (without the removal of ignorable characters).

    >>> normalise("Ann@ACME.com")
    'ann@acme.com'
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def email_domain(email: str) -> str:
    """Return the whole domain after the last `@` of a normalised e-mail; empty without one.

    >>> email_domain("ann@acme.com")
    'acme.com'
    """
    return email.rpartition("@")[2] if "@" in email else ""


def is_public_mail_domain(domain: str) -> bool:
    """Tell whether anybody may open a mailbox in this normalised domain."""
    return domain in PUBLIC_MAIL_DOMAINS
