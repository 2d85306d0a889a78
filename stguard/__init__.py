"""stguard: who may see and do what in a Streamlit app, from a policy file.

Importing this loads neither Streamlit nor YAML; a name loads its module when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stguard.app.admin import admin_page
    from stguard.app.caches import cache_data, cache_resource
    from stguard.app.doctor import doctor
    from stguard.app.gateway import App, BearerTokens, Gateway, TrustedProxy
    from stguard.app.guard import authorize, can, explain, requires, subject
    from stguard.app.leaving import logout_page
    from stguard.app.menu import navigation
    from stguard.app.orgs import org, org_selector
    from stguard.app.screens import login_page
    from stguard.app.settings import configure
    from stguard.app.state import state
    from stguard.app.usermenu import user_menu
    from stguard.errors import (
        AccessDenied,
        ConfigurationError,
        IdentityError,
        PolicyFileError,
        Problem,
        Severity,
        StguardError,
    )
    from stguard.model import Decision, Facts, Membership, Reason, Subject
    from stguard.policy import Policy
    from stguard.remote.policyurl import PolicyUrl
    from stguard.shared.replicas import Shared
    from stguard.sources.authenticator import AuthenticatorSession
    from stguard.sources.headers import TrustedHeaders
    from stguard.sources.ldap import Ldap
    from stguard.sources.propelauth import PropelAuth
    from stguard.sources.userinfo import UserInfo
    from stguard.variables import auth_from_env

__all__ = [
    "AccessDenied",
    "App",
    "AuthenticatorSession",
    "BearerTokens",
    "ConfigurationError",
    "Decision",
    "Facts",
    "Gateway",
    "IdentityError",
    "Ldap",
    "Membership",
    "Policy",
    "PolicyFileError",
    "PolicyUrl",
    "Problem",
    "PropelAuth",
    "Reason",
    "Severity",
    "Shared",
    "StguardError",
    "Subject",
    "TrustedHeaders",
    "TrustedProxy",
    "UserInfo",
    "admin_page",
    "auth_from_env",
    "authorize",
    "cache_data",
    "cache_resource",
    "can",
    "configure",
    "doctor",
    "explain",
    "login_page",
    "logout_page",
    "navigation",
    "org",
    "org_selector",
    "requires",
    "state",
    "subject",
    "user_menu",
]

_MODULES: Final = {
    "stguard.app.admin": ("admin_page",),
    "stguard.app.caches": ("cache_data", "cache_resource"),
    "stguard.app.doctor": ("doctor",),
    "stguard.app.gateway": ("App", "BearerTokens", "Gateway", "TrustedProxy"),
    "stguard.app.guard": ("authorize", "can", "explain", "requires", "subject"),
    "stguard.app.leaving": ("logout_page",),
    "stguard.app.menu": ("navigation",),
    "stguard.app.orgs": ("org", "org_selector"),
    "stguard.app.screens": ("login_page",),
    "stguard.app.settings": ("configure",),
    "stguard.app.state": ("state",),
    "stguard.app.usermenu": ("user_menu",),
    "stguard.variables": ("auth_from_env",),
    "stguard.errors": (
        "AccessDenied",
        "ConfigurationError",
        "IdentityError",
        "PolicyFileError",
        "PolicyUrl",
        "Problem",
        "Severity",
        "StguardError",
    ),
    "stguard.model": ("Decision", "Facts", "Membership", "Reason", "Subject"),
    "stguard.policy": ("Policy",),
    "stguard.remote.policyurl": ("PolicyUrl",),
    "stguard.shared.replicas": ("Shared",),
    "stguard.sources.authenticator": ("AuthenticatorSession",),
    "stguard.sources.ldap": ("Ldap",),
    "stguard.sources.headers": ("TrustedHeaders",),
    "stguard.sources.propelauth": ("PropelAuth",),
    "stguard.sources.userinfo": ("UserInfo",),
}

_HOME: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401  each name has its own type, stated above
    """Load the module of a public name at its first use."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
